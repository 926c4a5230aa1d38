import { formatAuthority } from '../grammar/authority.js'
import type { Authority } from '../grammar/authority.js'
import type { HostRules } from '../rules/host-rules.js'
import type { Origin } from '../grammar/origin.js'
import { defaultPort, isAt, isWebScheme } from '../grammar/origin.js'
import { quote } from '../grammar/quote.js'
import { isDefaultList } from '../settings/defaults.js'
import type { NamedList } from '../settings/defaults.js'
import { nameOf } from '../settings/table.js'
import type { CrossOrigin, HostMalformed, HostNotAllowed, Settings } from '../../types/index.js'

// MLflow's own sentences: people search for them.
const INVALID_HOST = 'Invalid Host header - possible DNS rebinding attack detected'
const CROSS_ORIGIN = 'Cross-origin request blocked'

/** The refusing verdicts, frozen: each says what came and what would allow it. */
export interface Refusals {
  /**
   * @param value - empty where there is none
   * @param conflict - why the value does not count, where the request names more than one host
   */
  host (header: 'Host' | 'X-Forwarded-Host', value: string, authority: Authority | undefined, conflict?: string): HostNotAllowed | HostMalformed
  foreignOrigin (value: string, origin: Origin): CrossOrigin
  /** @returns the refusal of an Origin that has the name of the Host and is not its own page all the same; `undefined` for another name */
  ownName (value: string, origin: Origin, host: Authority | undefined): CrossOrigin | undefined
  /** @param hasFetchMetadata - the request has Sec-Fetch-Site */
  opaqueOrigin (value: string, hasFetchMetadata: boolean): CrossOrigin
  /** @param site - the value of Sec-Fetch-Site */
  withoutOrigin (site: string): CrossOrigin
}

export function createRefusals (settings: Settings, hostRules: HostRules): Refusals {
  const addHost = advice('allowedHosts', settings)
  const addOrigin = advice('corsAllowedOrigins', settings)

  return {
    host (header, value, authority, conflict) {
      if (authority === undefined) return malformed(header, value, conflict)
      const entry = hostRules.entryFor(authority)
      return Object.freeze({
        allowed: false,
        check: 'host',
        code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED',
        statusCode: 403,
        value,
        setting: 'allowedHosts',
        entry,
        message: `${INVALID_HOST}: ${header} ${quote(value)} is not allowed. ${addHost(entry)}`
      })
    },

    foreignOrigin (value, origin) {
      const entry = formatOrigin(origin)
      return crossOrigin(value, entry, `Origin ${quote(value)} is not allowed. ${addOrigin(entry)}`)
    },

    ownName (value, origin, host) {
      if (host === undefined || !isWebScheme(origin.scheme) || origin.authority.host !== host.host) return undefined
      const entry = formatOrigin(origin)
      return crossOrigin(value, entry, `Origin ${quote(value)} ${explainOwnName(origin, host, hostRules, addHost)} Another page needs an entry. ${addOrigin(entry)}`)
    },

    opaqueOrigin: (value, hasFetchMetadata) => crossOrigin(value, undefined, `Origin ${quote(value)} ${explainOpaque(value, hasFetchMetadata)}`),

    withoutOrigin: site => crossOrigin('', undefined, `Sec-Fetch-Site ${quote(site)} without an Origin comes from another site. ` +
      'Where other sites are meant to call this route, set config.mlflowSecurity.origin to false on it.')
  }
}

/** An explicit list replaces the default: who follows the advice must not lose localhost by it. */
function advice (list: NamedList, settings: Settings): (entry: string) => string {
  const isDefault = isDefaultList(list, settings[list])
  return entry => `Add ${quote(entry)} to ${nameOf(list)}.${isDefault ? ` To keep the default list as well: ${quote(`@default,${entry}`)}.` : ''}`
}

function malformed (header: string, value: string, conflict: string | undefined): HostMalformed {
  const shown = value === '' ? `there is no ${header}` : `${header} ${quote(value)}`
  return Object.freeze({
    allowed: false,
    check: 'host',
    code: 'FST_MLFLOW_SECURITY_HOST_MALFORMED',
    statusCode: 400,
    value,
    setting: undefined,
    entry: undefined,
    message: `${INVALID_HOST}: ${shown}${explainMalformed(value, conflict)}. No setting allows it.`
  })
}

function explainMalformed (value: string, conflict: string | undefined): string {
  if (conflict !== undefined) return `, but ${conflict}`
  return value === '' ? '' : ' is not of the form host[:port]'
}

function crossOrigin (value: string, entry: string | undefined, explanation: string): CrossOrigin {
  return Object.freeze({
    allowed: false,
    check: 'origin',
    code: 'FST_MLFLOW_SECURITY_CROSS_ORIGIN',
    statusCode: 403,
    value,
    setting: entry === undefined ? undefined : 'corsAllowedOrigins',
    entry,
    message: `${CROSS_ORIGIN}: ${explanation}`
  })
}

/** @param addHost - the advice to add a host to its list */
function explainOwnName (origin: Origin, host: Authority, hostRules: HostRules, addHost: (entry: string) => string): string {
  if (!isAt(origin, host)) {
    return `has the name of the Host ${quote(formatAuthority(host))} on another port. If it is the server's own page, a proxy has dropped or changed the ` +
      'port: let it pass the Host on as it came (nginx: proxy_set_header Host $http_host).'
  }
  return hostRules.allowsEverything
    ? 'is the server\'s own only if nobody has rebound the name, and host validation is off: name the hosts in ' +
      `${nameOf('allowedHosts')} in place of "*".`
    : `is on a Host that is not allowed itself. If it is the server's own page: ${addHost(hostRules.entryFor(host))}`
}

function explainOpaque (value: string, hasFetchMetadata: boolean): string {
  if (value !== 'null') return 'is not of the form scheme://host[:port].'
  return hasFetchMetadata
    ? 'comes from a sandboxed frame, a local file or a redirect from another site, whoever made it. Where other sites are meant to post ' +
      'to this route, set config.mlflowSecurity.origin to false on it.'
    : 'may be the server\'s own page, but nothing proves it. If it is, send that page with "Referrer-Policy: same-origin": with ' +
      '"no-referrer" browsers hide the Origin over plain http.'
}

function formatOrigin ({ scheme, authority }: Origin): string {
  return `${scheme}://${formatAuthority(authority, defaultPort(scheme))}`
}
