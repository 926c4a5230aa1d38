import { parseAuthority } from '../grammar/authority.js'
import type { Authority } from '../grammar/authority.js'
import { compileHostRules } from '../rules/host-rules.js'
import { memoize } from './memo.js'
import { isPreflight, isSafe } from './methods.js'
import { isAt, isWebScheme, parseOrigin } from '../grammar/origin.js'
import type { Origin } from '../grammar/origin.js'
import { compileOriginRules } from '../rules/origin-rules.js'
import { createRefusals } from './refusals.js'
import { describeConflict, hostValue } from '../grammar/request-target.js'
import type { Allowed, AllowedRule, CrossOrigin, HostMalformed, HostNotAllowed, RequestHead, RouteOverride, Settings, Verdict } from '../../types/index.js'

/** The settings, compiled into decisions on requests. It knows nothing of Fastify. */
export interface Policy {
  /** What is worth a warning at start. */
  readonly warnings: readonly string[]
  /** Host validation is on. */
  readonly validatesHost: boolean
  /**
   * The verdict on a request. Allocates nothing for one that passes and came before.
   *
   * @param effectiveHost - the host by which the client knows the server, where that is not the Host header: a
   *   trusted proxy's X-Forwarded-Host. Both must be allowed, for a rebound page can write that header itself.
   * @param override - the checks that the request's route does without
   */
  inspect (request: RequestHead, effectiveHost?: string, override?: RouteOverride): Verdict
  /** `corsAllowedOrigins` has `*`. */
  readonly allowsAnyOrigin: boolean
  /** Whether pages of this Origin may read answers; `undefined`, the server's own page among them, needs no leave. */
  allowsOrigin (origin: string | undefined): boolean
}

/** What is known of a Host value. */
interface HostFacts {
  /** `undefined`: malformed, missing or ambiguous. */
  readonly authority: Authority | undefined
  readonly allowed: boolean
  /** No DNS answer can make this name mean another server: it was checked, or it is an address or `localhost`. */
  readonly cannotBeRebound: boolean
  /** Where it is not allowed: what it is told. A flood comes from few places, so that this is mostly written once. */
  readonly refusal: HostNotAllowed | HostMalformed | undefined
}

/** What is known of an Origin value: `origin` is `undefined` for `null` and what is malformed. */
type OriginFacts =
  | { readonly listed: boolean, readonly origin: undefined, readonly refusal: undefined }
  | { readonly listed: boolean, readonly origin: Origin, readonly refusal: CrossOrigin }

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
    const listed = originRules.allowsEverything || (origin === undefined ? text === 'null' && originRules.allowsNull : originRules.allows(origin))
    if (origin === undefined) return Object.freeze({ listed, origin, refusal: undefined })
    return Object.freeze({ listed, origin, refusal: refusals.foreignOrigin(text, origin) })
  }, facts => facts.origin !== undefined)

  const unknownHost: HostFacts = Object.freeze({
    authority: undefined, allowed: hostRules.allowsEverything, cannotBeRebound: false, refusal: undefined
  })

  function cannotBeRebound (authority: Authority | undefined, allowed: boolean): boolean {
    if (authority === undefined) return false
    return (allowed && !hostRules.allowsEverything) || authority.kind !== 'name' || authority.host === 'localhost'
  }

  function inspect (request: RequestHead, effectiveHost = hostValue(request), override = NO_OVERRIDE): Verdict {
    const value = hostValue(request)
    const conflict = describeConflict(request, value)
    const host = conflict === undefined ? hostFacts(value) : unknownHost
    const effective = effectiveHost === value ? host : hostFacts(effectiveHost)
    if (override.host !== false) {
      if (!host.allowed) return host.refusal ?? refusals.host('Host', value, undefined, conflict)
      if (!effective.allowed) return refusals.host('X-Forwarded-Host', effectiveHost, effective.authority)
    }
    return inspectOrigin(request, host, effective, override)
  }

  // The order is the rule: the allow-list, the server's own page, requests without an Origin, and nothing else.
  function inspectOrigin (request: RequestHead, host: HostFacts, effective: HostFacts, override: RouteOverride): Verdict {
    const { method, headers } = request
    const preflight = isPreflight(request)
    if (!preflight && isSafe(method) && headers.upgrade === undefined) return SAFE_METHOD
    if (override.origin === false) return EXEMPT_ROUTE
    if (originRules.allowsEverything) return ANY_ORIGIN
    const site = headers['sec-fetch-site']
    if (headers.origin === undefined) {
      return site === undefined || site === 'none' || site === 'same-origin' ? NO_ORIGIN : refusals.withoutOrigin(String(site))
    }
    const { origin, listed, refusal } = originFacts(headers.origin)
    if (listed) return LISTED_ORIGIN
    if (!preflight && isOwnPage(headers.origin, origin, host, effective, site === 'same-origin')) return OWN_PAGE
    if (origin === undefined) return refusals.opaqueOrigin(headers.origin, site !== undefined)
    // Browsers send no preflight to their own origin, so there is nothing to say of the Host.
    return (preflight ? undefined : refusals.ownName(headers.origin, origin, effective.authority)) ?? refusal
  }

  function isOwnPage (value: string, origin: Origin | undefined, host: HostFacts, effective: HostFacts, sameOrigin: boolean): boolean {
    if (!host.cannotBeRebound || !effective.cannotBeRebound) return false
    // Browsers send `Origin: null` for form posts of pages with `Referrer-Policy: no-referrer`, which is Helmet's default.
    if (origin === undefined) return sameOrigin && value === 'null'
    if (!isWebScheme(origin.scheme)) return false
    if (isAt(origin, effective.authority)) return true
    return sameOrigin && hostRules.allows(origin.authority) && cannotBeRebound(origin.authority, true)
  }

  return {
    warnings: [...hostRules.warnings, ...originRules.warnings],
    validatesHost: !settings.disableSecurityMiddleware && !hostRules.allowsEverything,
    inspect: settings.disableSecurityMiddleware ? () => DISABLED : inspect,
    allowsAnyOrigin: originRules.allowsEverything,
    allowsOrigin: origin => origin !== undefined && originFacts(origin).listed
  }
}
