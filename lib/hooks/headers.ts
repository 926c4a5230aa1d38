import type { FastifyReply, FastifyRequest, onRequestHookHandler, onSendHookHandler, preParsingHookHandler } from 'fastify'
import { overrideFrameAncestors } from '../http/content-security-policy.js'
import type { FrameAncestorsEditor } from '../http/content-security-policy.js'
import type { RouteOverrides } from './route-config.js'
import type { FrameOptions, Settings } from '../../types/index.js'

const CSP = 'content-security-policy'
const FRAME_OPTIONS = 'x-frame-options'

/** The hooks that set response headers. */
export interface HeaderHooks {
  /** First of all, so that refusals, preflights and early errors carry the headers. */
  setSecurityHeaders: onRequestHookHandler
  /**
   * After the onRequest hooks of all plugins, before the handler: what @fastify/helmet sets by default gives way to the
   * settings, in whichever order the two are registered; what the handler sets stands.
   */
  settleFrameOptions: preParsingHookHandler
  /** Only where `frameAncestors` is set. */
  addFrameAncestors: onSendHookHandler | undefined
}

/** @param ancestors - `frameAncestors`, compiled */
export function createHeaderHooks (
  { xFrameOptions }: Settings, ancestors: FrameAncestorsEditor | undefined, overrides: RouteOverrides
): HeaderHooks {
  const settled = new WeakSet<FastifyRequest>()

  const overrideOf = (request: FastifyRequest) => overrides.of(request).frameOptions

  function settleAncestors (request: FastifyRequest, reply: FastifyReply): void {
    const policy = ancestors?.replaceIn(reply.getHeader(CSP))
    if (policy !== undefined) reply.header(CSP, policy)
    settled.add(request)
  }

  return {
    setSecurityHeaders (request, reply, done) {
      reply.header('x-content-type-options', 'nosniff')
      setFrameOptions(reply, overrideOf(request) ?? xFrameOptions)
      done()
    },

    settleFrameOptions (request, reply, _payload, done) {
      const override = overrideOf(request)
      if (override === undefined && ancestors === undefined && isUntouched(reply, xFrameOptions)) return done()
      setFrameOptions(reply, override ?? (isDenied(reply) ? 'DENY' : xFrameOptions))
      if (override !== undefined) overrideAncestors(reply, override)
      else if (ancestors !== undefined) settleAncestors(request, reply)
      done()
    },

    addFrameAncestors: ancestors && function addFrameAncestors (request, reply, _payload, done) {
      if (overrideOf(request) === undefined) {
        if (!settled.has(request)) settleAncestors(request, reply) // a hook has answered before the settling one
        reply.header(CSP, ancestors.addTo(reply.getHeader(CSP)))
      }
      done()
    }
  }
}

function setFrameOptions (reply: FastifyReply, value: FrameOptions): void {
  if (value === 'NONE') reply.removeHeader(FRAME_OPTIONS)
  else reply.header(FRAME_OPTIONS, value)
}

/** The header is as `setSecurityHeaders` left it: no other plugin has had a say. */
function isUntouched (reply: FastifyReply, value: FrameOptions): boolean {
  return reply.getHeader(FRAME_OPTIONS) === value && !reply.raw.hasHeader(FRAME_OPTIONS)
}

/** A DENY of another plugin stands; @fastify/helmet writes it to Node's response, beneath Fastify's own headers. */
function isDenied (reply: FastifyReply): boolean {
  return denies(reply.getHeader(FRAME_OPTIONS)) || denies(reply.raw.getHeader(FRAME_OPTIONS))
}

/** Browsers read the value in any case, and the strictest of several (the HTML standard, "The X-Frame-Options header"). */
function denies (value: number | string | readonly string[] | undefined): boolean {
  return /(^|,)\s*deny\s*(,|$)/i.test(String(value))
}

/** What a route says of frames goes before the frame-ancestors that @fastify/helmet sets on all of them. */
function overrideAncestors (reply: FastifyReply, override: FrameOptions): void {
  const policy = reply.getHeader(CSP)
  const replaced = policy === undefined ? undefined : overrideFrameAncestors(policy, override)
  if (replaced === '') reply.removeHeader(CSP)
  else if (replaced !== undefined) reply.header(CSP, replaced)
}
