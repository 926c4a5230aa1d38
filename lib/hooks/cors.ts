import cors from '@fastify/cors'
import type { FastifyCorsOptions } from '@fastify/cors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { endUpgrade } from './end-upgrade.js'
import type { RouteOverrides } from './route-config.js'
import { METHODS, isPreflight } from '../policy/methods.js'
import type { Policy } from '../policy/policy.js'
import type { CorsOptions, Settings } from '../../types/index.js'

/** The parts of a request that `@fastify/cors` reads, and the one that it writes. */
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
 * @returns whether the request has been answered
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
    // "*" never allows credentials, because every site would get them. Browsers refuse the combination too.
    const allowed = access === 'any' ? EVERYONE : { origin, credentials: true }
    const config = { cors: route === undefined ? allowed : { ...route, ...allowed } }
    const asked = { raw, headers, routeOptions: { config }, corsPreflightEnabled: false }
    writeHeaders(asked, reply)
    // `@fastify/cors` treats every OPTIONS as a preflight. One without preflight headers belongs to the app.
    if (preflightContinue || !asked.corsPreflightEnabled || !isPreflight(raw)) return false
    endUpgrade(request, reply)
    // Without a length some browsers wait for a body, even after a 204.
    reply.code(optionsSuccessStatus).header('content-length', '0').send()
    return true
  }
}

/**
 * Takes the onRequest handler of `@fastify/cors` without registering it. If it were registered, it would add an `OPTIONS *`
 * route, so that the app could not have one, or a catch-all. It would also obey the `config.cors` of any route, which could
 * open what the policy closes. So it is called only for allowed Origins. It gets an object in place of the request, with the
 * policy's decision as the route's config.
 *
 * @returns a function that writes the headers of an allowed Origin
 * @throws TypeError if another version of `@fastify/cors` needs more of the instance than this, or answers asynchronously
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
