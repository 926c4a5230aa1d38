import cors from '@fastify/cors'
import type { FastifyCorsOptions } from '@fastify/cors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { hangUpAfter } from './hang-up.js'
import type { RouteOverrides } from './route-config.js'
import { METHODS, isPreflight } from '../policy/methods.js'
import type { Policy } from '../policy/policy.js'
import type { CorsOptions, Settings } from '../../types/index.js'

/** What `@fastify/cors` reads of a request, and the one thing that it writes. */
interface CorsRequest {
  readonly raw: FastifyRequest['raw']
  readonly headers: FastifyRequest['headers']
  readonly routeOptions: { readonly config: { readonly cors: FastifyCorsOptions } }
  corsPreflightEnabled: boolean
}

type CorsHandler = (request: CorsRequest, reply: FastifyReply, next: (error?: Error) => void) => void

const EVERYONE = Object.freeze({ origin: '*', credentials: false })

/**
 * Writes the CORS headers of an allowed Origin, and answers its preflights.
 *
 * @returns whether the request has its answer by now
 */
export type CorsAnswer = (request: FastifyRequest, reply: FastifyReply) => boolean

export function createCors (settings: Settings, policy: Policy, overrides: RouteOverrides): CorsAnswer {
  const { preflightContinue = false, optionsSuccessStatus = 204 } = settings.cors
  const writeHeaders = corsHandler(settings.cors)

  return function answerCors (request, reply) {
    const { raw, headers } = request
    const { origin } = headers
    const access = policy.corsAccess(origin)
    if (origin === undefined || access === 'none') return false
    const route = overrides.corsOf(request)
    if (route === false) return false
    // Credentials for every origin there is would hand them to every site there is; browsers refuse the pair as well.
    const allowed = access === 'any' ? EVERYONE : { origin, credentials: true }
    const config = { cors: route === undefined ? allowed : { ...route, ...allowed } }
    const asked = { raw, headers, routeOptions: { config }, corsPreflightEnabled: false }
    writeHeaders(asked, reply)
    // `@fastify/cors` takes every OPTIONS for a preflight; a bare one is the app's own.
    if (preflightContinue || !asked.corsPreflightEnabled || !isPreflight(raw)) return false
    hangUpAfter(request, reply)
    // Some browsers wait for a body without the length, even of a 204.
    reply.code(optionsSuccessStatus).header('content-length', '0').send()
    return true
  }
}

/**
 * Takes the onRequest handler of `@fastify/cors` without registering it. Registered, it would bring an `OPTIONS *` route along,
 * which would keep the app from having one, or a catch-all; and it would heed the `config.cors` of any route, which could open
 * what the policy closes. So it is asked with an object in place of the request, for allowed Origins only, and what the policy
 * says stands there as the route's own word.
 *
 * @returns writes the headers of an allowed Origin
 * @throws TypeError where another version of `@fastify/cors` asks the instance for more than this, or does not come back at once
 */
function corsHandler (options: CorsOptions): (request: CorsRequest, reply: FastifyReply) => void {
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
  return (request, reply) => {
    let isBack = false
    handler(request, reply, () => { isBack = true })
    if (!isBack) throw new TypeError('This version of @fastify/cors does not come back at once')
  }
}
