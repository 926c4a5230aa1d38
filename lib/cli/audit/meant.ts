import { parseAuthority } from '../../grammar/authority.js'
import { isAt, parseOrigin } from '../../grammar/origin.js'
import { quote } from '../../grammar/quote.js'
import { compileFrameAncestors } from '../../rules/frame-ancestors.js'
import { compileHostRules } from '../../rules/host-rules.js'
import { compileOriginRules } from '../../rules/origin-rules.js'
import { UsageError } from '../errors.js'
import { isDefaultList } from '../../settings/table.js'
import type { Settings } from '../../../types/index.js'
import type { Target } from './target.js'

/** What the server should allow. If that passes, it is not a gap. */
export interface Meant {
  readonly settings: Settings
  /** No list of hosts was given. Then the URL's own host is meant to be allowed, as well as the default list. */
  readonly hostsAreDefault: boolean
  allowsHost (text: string): boolean
  allowsOrigin (text: string): boolean
  /** `corsAllowedOrigins` has `*`. */
  readonly anyOrigin: boolean
  /** A name that is foreign as a Host and as an Origin. */
  readonly foreign: string
  /** An Origin of each of the first listed entries that name a site. */
  readonly listed: readonly Listed[]
}

/** An entry of `corsAllowedOrigins` and an Origin that it allows. */
export interface Listed { readonly entry: string, readonly sample: string }

/** Nobody has these names (RFC 2606). */
const NAMES = ['rebound.example', 'rebound.test', 'rebound.invalid', 'audit-of-foreign-names.example.net']
const MAX_LISTED = 2

/**
 * @param settings - as they were given; with a default list the URL's own host is meant to be allowed too
 * @throws SettingProblem, FST_MLFLOW_SECURITY_USAGE if the URL's own host is not allowed
 */
export function whatIsMeant (settings: Settings, target: Target): Meant {
  const hostRules = compileHostRules(settings.allowedHosts)
  const originRules = compileOriginRules(settings.corsAllowedOrigins)
  compileFrameAncestors(settings.frameAncestors)
  const isDefault = isDefaultList('allowedHosts', settings.allowedHosts)
  if (!isDefault && !hostRules.allows(target.host)) {
    throw new UsageError(`audit: ${quote(target.authority)}, the URL's own host, is not in allowedHosts (${settings.allowedHosts.join(', ')}). ` +
      `Ask by a name that is: audit ${target.tls ? 'https' : 'http'}://NAME --connect ${target.authority}`)
  }
  const allowsHost = (text: string): boolean => {
    const authority = parseAuthority(text)
    if (hostRules.allowsEverything) return true
    return authority !== undefined && (authority.host === target.host.host || hostRules.allows(authority))
  }
  const allowsOrigin = (text: string): boolean => {
    const origin = parseOrigin(text)
    if (originRules.allowsEverything) return true
    if (origin === undefined) return originRules.allowsText(text)
    return originRules.allows(origin) || (origin.scheme === target.origin.split(':', 1)[0] && isAt(origin, target.host))
  }
  const isForeign = (name: string): boolean => !allowsHost(name) && !allowsOrigin(`https://${name}`)
  return {
    settings,
    hostsAreDefault: isDefault,
    allowsHost,
    allowsOrigin,
    anyOrigin: originRules.allowsEverything,
    foreign: NAMES.find(isForeign) ?? 'rebound.example',
    listed: settings.corsAllowedOrigins.map(entry => ({ entry, sample: entry.replaceAll(':*', ':3000').replaceAll('*', 'x') }))
      .filter(({ sample }) => sample.includes('://') && parseOrigin(sample) !== undefined).slice(0, MAX_LISTED)
  }
}

/** Origins that a careless comparison of text would take for an allowed one. */
export function lookAlikes (origin: string, foreign: string): string[] {
  const longer = origin.replace(/(:\d+)?$/, port => `.${foreign}${port}`)
  return [longer, origin.replace('://', '://not')].filter(candidate => parseOrigin(candidate) !== undefined)
}

/** The same for an entry of the list. MLflow's wildcards also match the characters that end a host. */
export function lookAlikesOf ({ entry, sample }: Listed, foreign: string): string[] {
  const [scheme = '', below = ''] = entry.split('*.')
  const downgraded = sample.replace(/^https:/, 'http:')
  return [
    ...lookAlikes(sample, foreign),
    ...(below === '' ? [] : [`${scheme}${foreign}/.${below}`, `${scheme}not${below}`]),
    ...(downgraded === sample ? [] : [downgraded])
  ]
}
