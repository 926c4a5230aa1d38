import { formatAuthority } from '../grammar/authority.js'
import type { Authority } from '../grammar/authority.js'
import { isForeign } from './fetch-site.js'
import type { Site } from './fetch-site.js'
import type { HostRules } from '../rules/host-rules.js'
import type { Origin } from '../grammar/origin.js'
import { defaultPort, isAt, isWebScheme } from '../grammar/origin.js'
import { quote } from '../grammar/quote.js'
import { isDefaultList, nameOf } from '../settings/table.js'
import type { NamedList } from '../settings/table.js'
import type { CrossOrigin, HostMalformed, HostNotAllowed, Settings } from '../../types/index.js'

/** MLflow's own sentences (mlflow/server/security_utils.py). Refusals begin with them, because people search for them. */
export const INVALID_HOST = 'Invalid Host header - possible DNS rebinding attack detected'
export const CROSS_ORIGIN = 'Cross-origin request blocked'

/** The refusing verdicts, frozen: each says what came and what would allow it. */
export interface Refusals {
  /**
   * @param value - empty if there is none
   * @param conflict - why the value does not count, if the request names more than one host
   */
  host (header: 'Host' | 'X-Forwarded-Host', value: string, authority: Authority | undefined, conflict?: string): HostNotAllowed | HostMalformed
  foreignOrigin (value: string, origin: Origin): CrossOrigin
  /**
   * @param host - the host by which the client knows the server
   * @param site - the value of Sec-Fetch-Site
   * @param https - the request is known to have come by https
   * @returns the refusal of an Origin that may be meant to be the server's own; `undefined` for any other
   */
  likelyOwn (value: string, origin: Origin, host: Authority | undefined, site: Site, https: boolean): CrossOrigin | undefined
  /** The refusal of `null` and of malformed values. */
  opaqueOrigin (value: string, site: Site): CrossOrigin
  withoutOrigin (site: string): CrossOrigin
}

export function createRefusals (settings: Settings, hostRules: HostRules): Refusals {
  const addHost = advice('allowedHosts', settings)
  const addOrigin = advice('corsAllowedOrigins', settings)
  // If "*" is in the list, only requests with a Cookie are refused.
  const cookie = settings.corsAllowedOrigins.includes('*')
    ? `The request has a Cookie, but "*" in ${nameOf('corsAllowedOrigins')} never allows credentials: name the origin beside it. `
    : ''

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
      return crossOrigin(value, { setting: 'corsAllowedOrigins', entry }, `Origin ${quote(value)} is not allowed. ${cookie}${addOrigin(entry)}`)
    },

    likelyOwn (value, origin, host, site, https) {
      if (host === undefined || !isWebScheme(origin.scheme)) return undefined
      const hasOwnName = origin.authority.host === host.host
      if (!hasOwnName && site === 'same-origin') return rewrittenHost(value, origin)
      if (!hasOwnName) return undefined
      const entry = formatOrigin(origin)
      const why = explainOwnName(origin, host, site, https)
      return crossOrigin(value, { setting: 'corsAllowedOrigins', entry }, `Origin ${quote(value)} ${why} Any other page needs an entry. ${cookie}${addOrigin(entry)}`)
    },

    opaqueOrigin: (value, site) => crossOrigin(value, undefined, `Origin ${quote(value)} ${explainOpaque(value, site)}${value === 'null' ? '' : cookie.trimEnd()}`.trimEnd()),

    withoutOrigin: site => crossOrigin('', undefined, `A request with Sec-Fetch-Site ${quote(site)} but without an Origin comes from another site. ${cookie}` +
      EXEMPT_ROUTE)
  }

  /** Tunnels (ngrok, Codespaces, VS Code) send their own Host. The browser knows the real one. */
  function rewrittenHost (value: string, origin: Origin): CrossOrigin {
    const entry = hostRules.entryFor(origin.authority)
    const begin = `Origin ${quote(value)} is the server's own page according to the browser (Sec-Fetch-Site "same-origin"), but`
    if (hostRules.allowsEverything) {
      return crossOrigin(value, { setting: 'corsAllowedOrigins', entry: formatOrigin(origin) }, `${begin} ${REBINDABLE} Or: ${addOrigin(formatOrigin(origin))}`)
    }
    return crossOrigin(value, { setting: 'allowedHosts', entry }, `${begin} a tunnel or a proxy has replaced the Host, and the name ` +
      `in the Origin is not allowed. ${addHost(entry)} If the page is not the server's own, use ${nameOf('corsAllowedOrigins')} instead.`)
  }

  /** Why an Origin with the name of the Host is still not the server's own page. */
  function explainOwnName (origin: Origin, host: Authority, site: Site, https: boolean): string {
    if (origin.scheme === 'http' && (https || site === 'cross-site')) {
      return 'is an http page, but the server is on https: to browsers these are two sites. If it is the server\'s own page, open it by https.'
    }
    if (isForeign(site)) {
      return `has the name of the Host, but the browser says that it is another page (Sec-Fetch-Site ${quote(String(site))}), on another port or scheme.`
    }
    if (!isAt(origin, host)) {
      return `has the name of the Host ${quote(formatAuthority(host))} on another port. If it is the server's own page, a proxy has dropped or changed the ` +
        'port: let it pass the Host on unchanged (nginx: proxy_set_header Host $http_host).'
    }
    return hostRules.allowsEverything
      ? `is the server's own page only if nobody has rebound the name, but ${REBINDABLE}`
      : `is on a Host that is not allowed itself. If it is the server's own page: ${addHost(hostRules.entryFor(host))}`
  }
}

const REBINDABLE = `host validation is off: name the hosts in ${nameOf('allowedHosts')} instead of "*".`
const EXEMPT_ROUTE = 'If other sites may call this route, set config.mlflowSecurity.origin to false on it. In the gateway, name it in --callback-paths.'

/** An explicit list replaces the default. People who follow the advice must not lose localhost. */
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
    message: `${INVALID_HOST}: ${shown}${explainMalformed(value, conflict)}. No entry allows it.`
  })
}

function explainMalformed (value: string, conflict: string | undefined): string {
  if (conflict !== undefined) return `, but ${conflict}`
  return value === '' ? '' : ' is not of the form host[:port]'
}

/** What would allow the Origin. */
interface Fix { readonly setting: 'corsAllowedOrigins' | 'allowedHosts', readonly entry: string }

function crossOrigin (value: string, fix: Fix | undefined, explanation: string): CrossOrigin {
  return Object.freeze({
    allowed: false,
    check: 'origin',
    code: 'FST_MLFLOW_SECURITY_CROSS_ORIGIN',
    statusCode: 403,
    value,
    setting: fix?.setting,
    entry: fix?.entry,
    message: `${CROSS_ORIGIN}: ${explanation}`
  })
}

function explainOpaque (value: string, site: Site): string {
  if (value !== 'null') return 'is not of the form scheme://host[:port]. '
  switch (site) {
    case undefined: return 'may be the server\'s own page, but nothing proves it. If it is, send that page with "Referrer-Policy: same-origin": with ' +
      '"no-referrer" browsers hide the Origin over plain http.'
    case 'same-site': return 'comes from a page of the same site that hides its Origin. If that page may call this server, send it with ' +
      '"Referrer-Policy: strict-origin" instead of "no-referrer", and allow its Origin.'
    case 'same-origin': return `is the server's own page according to the browser, but nothing proves that the Host is yours: name it in ${nameOf('allowedHosts')}, not by "*".`
    default: return 'comes from a sandboxed frame, a local file or a redirect from another site, and anyone can make those. For a frame of your own, use ' +
      `sandbox="allow-same-origin". ${EXEMPT_ROUTE}`
  }
}

function formatOrigin ({ scheme, authority }: Origin): string {
  return `${scheme}://${formatAuthority(authority, defaultPort(scheme))}`
}
