import type { FastifyReply, FastifyRequest, onSendHookHandler, preParsingHookHandler } from 'fastify'
import { overrideFrameAncestors } from '../http/content-security-policy.js'
import type { FrameAncestorsEditor, PolicyHeader } from '../http/content-security-policy.js'
import { joinVary, varyByOrigin } from '../http/vary.js'
import { isResponse, takeOver } from './web-response.js'
import type { RouteOverrides } from './route-config.js'
import type { FrameOptions, Settings } from '../../types/index.js'

const CSP = 'content-security-policy'
const FRAME_OPTIONS = 'x-frame-options'
const NOSNIFF = 'x-content-type-options'
const VARY = 'vary'

/** The hooks that set response headers. */
export interface HeaderHooks {
  /** Runs first, so that refusals, preflights and early errors carry the headers. */
  setSecurityHeaders (request: FastifyRequest, reply: FastifyReply): void
  /**
   * Runs after the onRequest hooks of all plugins and before the handler. Our settings replace the defaults of
   * @fastify/helmet, in whichever order the two are registered. Headers that the handler sets later stay.
   */
  settleFrames: preParsingHookHandler
  /** Runs last: merges the handler's Vary and Content-Security-Policy with ours. */
  completeHeaders: onSendHookHandler<unknown>
}

/** @param ancestors - `frameAncestors`, compiled */
export function createHeaderHooks (
  { xFrameOptions }: Settings, ancestors: FrameAncestorsEditor | undefined, overrides: RouteOverrides
): HeaderHooks {
  const settled = new WeakSet<FastifyRequest>()

  const merged = ancestors === undefined ? [VARY] : [VARY, CSP]

  const overrideOf = (request: FastifyRequest) => overrides.of(request).frameOptions

  function setSecurityHeaders (request: FastifyRequest, reply: FastifyReply): void {
    const override = overrideOf(request)
    reply.header(NOSNIFF, 'nosniff')
    setFrameOptions(reply, override ?? xFrameOptions)
    reply.header(VARY, varyByOrigin(reply.getHeader(VARY)))
    if (override === undefined && ancestors !== undefined) nameAncestors(reply, ancestors)
  }

  function settle (request: FastifyRequest, reply: FastifyReply, override: FrameOptions | undefined): void {
    if (override === undefined && ancestors === undefined && isUntouched(reply, xFrameOptions)) return
    setFrameOptions(reply, override ?? (isDenied(reply) ? 'DENY' : xFrameOptions))
    if (override !== undefined) overrideAncestors(reply, override)
    else if (ancestors !== undefined) nameAncestors(reply, ancestors)
    if (override !== undefined || ancestors !== undefined) settled.add(request)
  }

  /** For a hook that answered before the frame headers were settled, or a handler that called `reply.helmet()`. */
  function completeFrames (request: FastifyRequest, reply: FastifyReply): void {
    const override = overrideOf(request)
    if ((override !== undefined || ancestors !== undefined) && !settled.has(request)) settle(request, reply, override)
    if (override !== undefined) return
    if (denies(reply.raw.getHeader(FRAME_OPTIONS)) && reply.getHeader(FRAME_OPTIONS) === xFrameOptions) setFrameOptions(reply, 'DENY')
    if (ancestors !== undefined) reply.header(CSP, ancestors.addTo(reply.getHeader(CSP)))
  }

  /** Fastify runs no onRequest hook for methods that Node does not know. HTTP/2 can carry them. */
  function completeVary (request: FastifyRequest, reply: FastifyReply): void {
    const vary = reply.getHeader(VARY)
    if (vary === undefined && !reply.hasHeader(NOSNIFF)) setSecurityHeaders(request, reply)
    else if (vary !== 'Origin') reply.header(VARY, varyByOrigin(vary))
  }

  return {
    setSecurityHeaders,

    settleFrames (request, reply, _payload, done) {
      settle(request, reply, overrideOf(request))
      done()
    },

    completeHeaders (request, reply, payload, done) {
      const rest = isResponse(payload) ? takeOver(payload, merged, takeFromResponse(reply)) : undefined
      completeVary(request, reply)
      completeFrames(request, reply)
      done(null, rest)
    }
  }
}

const takeFromResponse = (reply: FastifyReply) => (name: string, value: string) => {
  reply.header(name, name === VARY ? joinVary(reply.getHeader(VARY), value) : value)
}

function setFrameOptions (reply: FastifyReply, value: FrameOptions): void {
  if (value === 'NONE') reply.removeHeader(FRAME_OPTIONS)
  else reply.header(FRAME_OPTIONS, value)
}

/** No other plugin has changed the header. */
function isUntouched (reply: FastifyReply, value: FrameOptions): boolean {
  return reply.getHeader(FRAME_OPTIONS) === value && !reply.raw.hasHeader(FRAME_OPTIONS)
}

/** A DENY of another plugin stays. @fastify/helmet writes it to Node's response, beneath Fastify's own headers. */
function isDenied (reply: FastifyReply): boolean {
  return denies(reply.getHeader(FRAME_OPTIONS)) || denies(reply.raw.getHeader(FRAME_OPTIONS))
}

/** Browsers read the value in any case, and the strictest of several (the HTML standard, "The X-Frame-Options header"). */
function denies (value: number | string | readonly string[] | undefined): boolean {
  return value !== undefined && /(^|,)\s*deny\s*(,|$)/i.test(String(value))
}

/** Adds our sites to the policy of another plugin, or creates a policy. The handler may still set its own. */
function nameAncestors (reply: FastifyReply, ancestors: FrameAncestorsEditor): void {
  const policy = reply.getHeader(CSP)
  changePolicy(reply, policy, ancestors.addTo(ancestors.replaceIn(policy) ?? policy))
}

/** A route's own frameOptions replace the frame-ancestors that @fastify/helmet sets on all routes. */
function overrideAncestors (reply: FastifyReply, override: FrameOptions): void {
  const policy = reply.getHeader(CSP)
  const replaced = overrideFrameAncestors(policy, override)
  if (replaced === '') reply.removeHeader(CSP)
  else if (replaced !== undefined) changePolicy(reply, policy, replaced)
}

/** Changes the header where it was set. On Fastify's reply it would hide what `reply.helmet()` writes to Node's response later. */
function changePolicy (reply: FastifyReply, policy: PolicyHeader, changed: string): void {
  if (policy === undefined || policy === reply.raw.getHeader(CSP)) reply.raw.setHeader(CSP, changed)
  else reply.header(CSP, changed)
}
