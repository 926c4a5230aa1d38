import cors from '@fastify/cors'
import type { FastifyCorsOptions } from '@fastify/cors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { hangUpAfter } from './hang-up.js'
import type { RouteCors, RouteOverrides } from './route-config.js'
import { METHODS, isPreflight } from '../policy/methods.js'
import type { Policy } from '../policy/policy.js'
import type { Settings } from '../../types/index.js'

/** What `@fastify/cors` reads of a request, and the one thing that it writes. */
interface CorsRequest {
  readonly raw: FastifyRequest['raw']
  readonly headers: FastifyRequest['headers']
  readonly routeOptions: { readonly config: { readonly cors: RouteCors | undefined } }
  corsPreflightEnabled: boolean
}

type CorsHandler = (request: CorsRequest, reply: FastifyReply, next: (error?: Error) => void) => void

/**
 * Writes the CORS headers of an allowed Origin, and answers its preflights.
 *
 * @returns whether the request has its answer by now
 */
export type CorsAnswer = (request: FastifyRequest, reply: FastifyReply) => boolean

export function createCors (settings: Settings, policy: Policy, overrides: RouteOverrides): CorsAnswer {
  const { preflightContinue = false, optionsSuccessStatus = 204 } = settings.cors
  const writeHeaders = {
    none: undefined,
    listed: corsHandler({ ...settings.cors, origin: true, credentials: true }),
    // Credentials for every origin there is would hand them to every site there is; browsers refuse the pair as well.
    any: corsHandler({ ...settings.cors, origin: '*', credentials: false })
  }

  return function answerCors (request, reply) {
    const write = writeHeaders[policy.corsAccess(request.headers.origin)]
    if (write === undefined) return false
    const isAnswerable = askCors(write, request, reply, overrides.corsOf(request))
    if (!isAnswerable || preflightContinue) return false
    hangUpAfter(request, reply)
    // Some browsers wait for a body without the length, even of a 204.
    reply.code(optionsSuccessStatus).header('content-length', '0').send()
    return true
  }
}

/**
 * Asks `@fastify/cors` with an object of its own in place of the request. It would read the route's `config.cors` there, with
 * which any route could open what the policy closes: here it finds what {@link RouteOverrides.corsOf} has let through.
 *
 * @returns whether it has set a preflight's headers
 * @throws TypeError where another version of `@fastify/cors` does not come back at once
 */
function askCors (write: CorsHandler, request: FastifyRequest, reply: FastifyReply, cors: RouteCors | undefined): boolean {
  const asked = { raw: request.raw, headers: request.headers, routeOptions: { config: { cors } }, corsPreflightEnabled: false }
  let isBack = false
  write(asked, reply, () => { isBack = true })
  if (!isBack) throw new TypeError('This version of @fastify/cors does not call next at once')
  // It takes every OPTIONS for a preflight; a bare one is the app's own.
  return asked.corsPreflightEnabled && isPreflight(request.raw)
}

/**
 * Takes the onRequest handler of `@fastify/cors` without registering it. Registered, it would bring an `OPTIONS *` route along,
 * which would keep the app from having one, or a catch-all; its handler answers preflights where no route matches as well.
 *
 * @throws TypeError where another version of `@fastify/cors` asks the instance for more than this
 */
function corsHandler (options: FastifyCorsOptions): CorsHandler {
  const handlers: CorsHandler[] = []
  const instance = {
    decorateRequest () {},
    addHook (_name: string, handler: CorsHandler) { handlers.push(handler) },
    options () {}
  }
  const all = { methods: [...METHODS], ...options, strictPreflight: false, preflightContinue: true }
  Reflect.apply(cors, undefined, [instance, all, () => {}])
  const [handler] = handlers
  if (handler === undefined || handlers.length > 1) throw new TypeError('This version of @fastify/cors has not one onRequest handler')
  return handler
}
