import { NO_PORT, parseAuthority } from '../grammar/authority.js'
import type { Authority } from '../grammar/authority.js'
import { compileHostRules } from '../rules/host-rules.js'
import { isForeign, siteOf } from './fetch-site.js'
import type { Site } from './fetch-site.js'
import { memoize } from './memo.js'
import { isPreflight, isSafe } from './methods.js'
import { isAt, parseOrigin } from '../grammar/origin.js'
import type { Origin } from '../grammar/origin.js'
import { compileOriginRules } from '../rules/origin-rules.js'
import type { Wildcard } from '../rules/wildcards.js'
import { createRefusals } from './refusals.js'
import { describeConflict, hostValue } from '../grammar/host-of-request.js'
import type { Allowed, AllowedRule, CrossOrigin, HostMalformed, HostNotAllowed, RequestHead, RouteOverride, Settings, Verdict } from '../../types/index.js'

/** How the client addressed the server, according to trusted proxies. A Fastify request has both properties. */
export interface Addressed {
  /** The Host header, or a trusted proxy's X-Forwarded-Host. */
  readonly host: string
  /** `https` or `wss` if the request is known to have come by TLS. Any other value proves nothing: TLS may end at an outer proxy. */
  readonly protocol: string
}

/** What CORS lets an Origin do with answers: nothing, read them without credentials, or everything. */
export type CorsAccess = 'none' | 'any' | 'listed'

/** The settings, compiled into decisions on requests. Independent of Fastify. */
export interface Policy {
  /** Warnings for the start. */
  readonly warnings: readonly string[]
  /** The wildcards of the lists, each with the name right above it. */
  readonly wildcards: readonly Wildcard[]
  /** Whether host validation is on. */
  readonly validatesHost: boolean
  /**
   * The verdict on a request, by the rule below (`function inspect` in this file).
   *
   * @param addressed - left out, the request's own Host and connection count
   * @param override - the checks that the request's route turns off
   * @example policy.inspect(request.raw, request, { origin: false })
   */
  inspect (request: RequestHead, addressed?: Addressed, override?: RouteOverride): Verdict
  /** @returns what pages of this Origin may do with answers. Without an Origin no CORS header is needed */
  corsAccess (origin: string | undefined): CorsAccess
  /** `corsAllowedOrigins` has `*`. */
  readonly allowsAnyOrigin: boolean
}

/** The facts about a Host value. */
interface HostFacts {
  /** `undefined`: malformed, missing or ambiguous. */
  readonly authority: Authority | undefined
  readonly allowed: boolean
  /** No page can rebind this host: it is in the list, or it is an address or `localhost`. */
  readonly cannotBeRebound: boolean
  /** The refusal, if it is not allowed. A flood comes from few places, so this is usually written once. */
  readonly refusal: HostNotAllowed | HostMalformed | undefined
}

/** The facts about an Origin value. `origin` is `undefined` for `null` and for malformed values. */
type OriginFacts =
  | { readonly listed: boolean, readonly origin: undefined, readonly refusal: undefined }
  | { readonly listed: boolean, readonly origin: Origin, readonly refusal: CrossOrigin }

/** Schemes are the same in any case (RFC 9110 §4.2.3), and some proxies write HTTPS. */
const HTTPS = /^(?:https|wss)$/i

const NO_OVERRIDE: RouteOverride = Object.freeze({})

const allowedBy = (rule: AllowedRule): Allowed => Object.freeze({ allowed: true, rule })
const DISABLED = allowedBy('disabled')
const ANY_ORIGIN = allowedBy('any-origin')
const LISTED_ORIGIN = allowedBy('listed-origin')
const OWN_PAGE = allowedBy('own-page')
const NO_ORIGIN = allowedBy('no-origin')
const SAFE_METHOD = allowedBy('safe-method')
const EXEMPT_ROUTE = allowedBy('exempt-route')

/**
 * Compiles the settings.
 *
 * @throws SettingProblem with the wrong entry and its fix
 */
export function createPolicy (settings: Settings): Policy {
  const hostRules = compileHostRules(settings.allowedHosts)
  const originRules = compileOriginRules(settings.corsAllowedOrigins)
  const refusals = createRefusals(settings, hostRules)

  const hostFacts = memoize<HostFacts>(text => {
    const authority = parseAuthority(text)
    const allowed = hostRules.allowsEverything || (authority !== undefined && hostRules.allows(authority))
    const refusal = allowed ? undefined : refusals.host('Host', text, authority)
    return Object.freeze({ authority, allowed, cannotBeRebound: cannotBeRebound(authority, allowed), refusal })
  }, facts => facts.allowed && facts.authority !== undefined)

  const originFacts = memoize<OriginFacts>(text => {
    const origin = parseOrigin(text)
    const listed = originRules.allowsText(text) || (origin !== undefined && originRules.allows(origin))
    if (origin === undefined) return Object.freeze({ listed, origin, refusal: undefined })
    return Object.freeze({ listed, origin, refusal: refusals.foreignOrigin(text, origin) })
  }, facts => facts.listed || facts.origin !== undefined)

  const unknownHost: HostFacts = Object.freeze({
    authority: undefined, allowed: hostRules.allowsEverything, cannotBeRebound: false, refusal: undefined
  })

  function cannotBeRebound (authority: Authority | undefined, allowed: boolean): boolean {
    if (authority === undefined) return false
    return (allowed && !hostRules.allowsEverything) || authority.kind !== 'name' || authority.host === 'localhost'
  }

  /**
   * The rule. The first step that applies decides. Nothing is allocated for a request that passes, if its Host and Origin came
   * before.
   *
   * 1. Security is disabled: every request passes.
   * 2. The Host must be well-formed and in `allowedHosts`, and the request must name it without doubt: two Host lines, a Host
   *    that differs from `:authority` or from the request target, or so many headers that Node may have dropped some, make it
   *    malformed. Behind a trusted proxy, X-Forwarded-Host must be in the list as well, because a rebound page can write that
   *    header itself. With `*` in the list every Host passes, malformed ones too. Health routes and routes with `host: false`
   *    skip this step.
   * 3. A method that changes nothing (GET, HEAD, OPTIONS, TRACE) passes, unless it is a preflight or asks for an upgrade.
   * 4. The route has `origin: false`: it passes.
   * 5. `corsAllowedOrigins` has `*` and the request has no Cookie: it passes, whatever its Origin.
   * 6. No Origin: it passes, unless the browser says by Sec-Fetch-Site that another page sent it. Curl and SDKs send neither header.
   * 7. An Origin in `corsAllowedOrigins` passes.
   * 8. The server's own page passes ({@link isOwnPage}). A preflight is never from it: browsers send none to their own origin.
   * 9. Everything else is refused.
   */
  function inspect (request: RequestHead, addressed?: Addressed, override = NO_OVERRIDE): Verdict {
    const value = hostValue(request)
    const known = addressed?.host ?? value
    const conflict = describeConflict(request, value)
    const host = conflict === undefined ? hostFacts(value) : unknownHost
    const effective = known === value ? host : hostFacts(known)
    if (override.host !== false) { // 2
      if (!host.allowed) return host.refusal ?? refusals.host('Host', value, undefined, conflict)
      if (!effective.allowed) return refusals.host('X-Forwarded-Host', known, effective.authority)
    }
    return inspectOrigin(request, host, effective, addressed, override)
  }

  function inspectOrigin (
    request: RequestHead, host: HostFacts, effective: HostFacts, addressed: Addressed | undefined, override: RouteOverride
  ): Verdict {
    const { method, headers } = request
    const preflight = isPreflight(request)
    if (!preflight && isSafe(method) && headers.upgrade === undefined) return SAFE_METHOD // 3
    if (override.origin === false) return EXEMPT_ROUTE // 4
    if (originRules.allowsEverything && headers.cookie === undefined) return ANY_ORIGIN // 5
    const site = siteOf(headers)
    if (headers.origin === undefined) return isForeign(site) ? refusals.withoutOrigin(String(site)) : NO_ORIGIN // 6
    const { origin, listed, refusal } = originFacts(headers.origin)
    if (listed) return LISTED_ORIGIN // 7
    if (preflight) return refusal ?? refusals.opaqueOrigin(headers.origin, site) // 8 and 9
    if (isOwnPage(request, site, origin, host, effective, addressed)) return OWN_PAGE // 8
    // 9, in the words that help most
    if (origin === undefined || refusal === undefined) return refusals.opaqueOrigin(headers.origin, site)
    return refusals.likelyOwn(headers.origin, origin, effective.authority, site, isHttps(request, addressed)) ?? refusal
  }

  /**
   * Whether the server's own page sent the request. All of this must hold:
   *
   * - Sec-Fetch-Site is `same-origin`, `none` or absent. The browser's word comes before any comparison, as in Go's
   *   CrossOriginProtection (net/http, csrf.go).
   * - Neither the Host nor X-Forwarded-Host can have been rebound: each is an IP address, or `localhost`, or in `allowedHosts`
   *   while that list has no `*`.
   * - One of these:
   *   - The Origin is of http or https, and has the host and port by which the client knows the server. If the request is known
   *     to have come by https, an http Origin does not count.
   *   - Sec-Fetch-Site is `same-origin`, the Origin is of http or https, and its host is in `allowedHosts` and cannot have been
   *     rebound either: a proxy has rewritten the Host.
   *   - Sec-Fetch-Site is `same-origin`, and the Origin is `null`: a form on a page with `Referrer-Policy: no-referrer`.
   */
  function isOwnPage (
    request: RequestHead, site: Site, origin: Origin | undefined, host: HostFacts, effective: HostFacts, addressed: Addressed | undefined
  ): boolean {
    if (isForeign(site) || !host.cannotBeRebound || !effective.cannotBeRebound) return false
    const sameOrigin = site === 'same-origin'
    if (origin === undefined) return sameOrigin && request.headers.origin === 'null'
    if (origin.defaultPort === NO_PORT) return false // no web page
    if (isAt(origin, effective.authority) && (origin.scheme === 'https' || !isHttps(request, addressed))) return true
    return sameOrigin && hostRules.allows(origin.authority) && cannotBeRebound(origin.authority, true)
  }

  return {
    warnings: [...hostRules.warnings, ...originRules.warnings],
    wildcards: [...hostRules.wildcards, ...originRules.wildcards],
    validatesHost: !settings.disableSecurityMiddleware && !hostRules.allowsEverything,
    inspect: settings.disableSecurityMiddleware ? () => DISABLED : inspect,
    allowsAnyOrigin: originRules.allowsEverything,
    corsAccess (origin) {
      if (origin === undefined) return 'none'
      if (originFacts(origin).listed) return 'listed'
      return originRules.allowsEverything ? 'any' : 'none'
    }
  }
}

function isHttps ({ socket }: RequestHead, addressed: Addressed | undefined): boolean {
  if (addressed === undefined) return socket !== undefined && 'encrypted' in socket && socket.encrypted === true
  return HTTPS.test(addressed.protocol)
}
