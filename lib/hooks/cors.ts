import cors from '@fastify/cors'
import type { FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance, onRequestHookHandler, onSendHookHandler } from 'fastify'
import { hangUpAfter } from './hang-up.js'
import { METHODS, isPreflight } from '../policy/methods.js'
import type { Policy } from '../policy/policy.js'
import { varyByOrigin } from '../http/vary.js'
import type { Settings } from '../../types/index.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by `@fastify/cors` where it has taken a request for a preflight. */
    corsPreflightEnabled?: boolean
  }
}

/** Adds `@fastify/cors` to the root instance, which `register` on an encapsulated one cannot. */
export function addCors (root: FastifyInstance, settings: Settings, policy: Policy): void {
  const options = {
    methods: [...METHODS],
    ...settings.cors,
    // It takes every OPTIONS of an allowed Origin for a preflight: `answerPreflight` tells which one is.
    strictPreflight: false,
    preflightContinue: true,
    // Credentials for every origin there is would hand them to every site there is; browsers refuse the pair as well.
    credentials: !policy.allowsAnyOrigin,
    // A function, even for "*": a request without an Origin gets no CORS header.
    origin: (origin: string | undefined, callback: (error: null, allowed: boolean | '*') => void) => {
      callback(null, policy.corsAccess(origin) !== 'none' && (policy.allowsAnyOrigin ? '*' : true))
    }
  }
  root.decorateRequest('corsPreflightEnabled', false)
  root.addHook('onRequest', corsHandler(options))
  root.addHook('onRequest', createPreflightAnswer(settings))
  root.addHook('onSend', keepVaryingByOrigin)
}

/** A handler's own Vary takes the place of the one that `@fastify/cors` has set, and refusals come before it is set. */
const keepVaryingByOrigin: onSendHookHandler = function keepVaryingByOrigin (_request, reply, _payload, done) {
  const vary = reply.getHeader('vary')
  if (vary !== 'Origin') reply.header('vary', varyByOrigin(vary))
  done()
}

/**
 * Takes the onRequest handler of `@fastify/cors` without registering it. Registered, it would bring an `OPTIONS *` route along,
 * which would keep the app from having one, or a catch-all; its handler answers preflights where no route matches as well.
 *
 * @throws TypeError where another version of `@fastify/cors` asks the instance for more than this
 */
function corsHandler (options: FastifyCorsOptions): onRequestHookHandler {
  const handlers: onRequestHookHandler[] = []
  const instance = {
    decorateRequest () {},
    addHook (_name: string, handler: onRequestHookHandler) { handlers.push(handler) },
    options () {}
  }
  Reflect.apply(cors, undefined, [instance, options, () => {}])
  const [handler] = handlers
  if (handler === undefined || handlers.length > 1) throw new TypeError('This version of @fastify/cors has not one onRequest handler')
  return handler
}

/** Answers preflights after `@fastify/cors` has set their headers; a bare OPTIONS is the app's own. */
function createPreflightAnswer ({ cors: { preflightContinue = false, optionsSuccessStatus = 204 } }: Settings): onRequestHookHandler {
  return function answerPreflight (request, reply, done) {
    if (request.corsPreflightEnabled !== true) return done()
    if (isPreflight(request.raw) && !preflightContinue) {
      hangUpAfter(request, reply)
      // Some browsers wait for a body without the length, even of a 204.
      reply.code(optionsSuccessStatus).header('content-length', '0').send()
      return
    }
    request.corsPreflightEnabled = isPreflight(request.raw)
    done()
  }
}
