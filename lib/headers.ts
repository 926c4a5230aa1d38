import type { FastifyReply, onRequestHookHandler, onSendHookHandler, preParsingHookHandler } from 'fastify'
import { compileFrameAncestors } from './frame-ancestors.js'
import { routeSettings } from './route-config.js'
import type { FrameOptions, Settings } from '../types/index.js'

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

/** @throws FST_MLFLOW_SECURITY_INVALID_OPTION where an entry of `frameAncestors` is wrong */
export function createHeaderHooks ({ xFrameOptions, frameAncestors }: Settings): HeaderHooks {
  const ancestors = compileFrameAncestors(frameAncestors)

  return {
    setSecurityHeaders (_request, reply, done) {
      reply.header('x-content-type-options', 'nosniff')
      setFrameOptions(reply, xFrameOptions)
      done()
    },

    settleFrameOptions (request, reply, _payload, done) {
      const override = routeSettings(request).frameOptions
      setFrameOptions(reply, override ?? xFrameOptions)
      if (ancestors !== undefined && override === undefined) {
        const policy = ancestors.replaceIn(reply.getHeader(CSP))
        if (policy !== undefined) reply.header(CSP, policy)
      }
      done()
    },

    addFrameAncestors: ancestors && function addFrameAncestors (request, reply, _payload, done) {
      if (routeSettings(request).frameOptions === undefined) reply.header(CSP, ancestors.addTo(reply.getHeader(CSP)))
      done()
    }
  }
}

function setFrameOptions (reply: FastifyReply, value: FrameOptions): void {
  if (value === 'NONE') reply.removeHeader(FRAME_OPTIONS)
  else reply.header(FRAME_OPTIONS, value)
}
