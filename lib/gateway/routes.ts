import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { METHODS } from '../policy/methods.js'
import type { GatewaySettings } from './options.js'
import { createIsPlain } from './ambiguous-path.js'
import { routePattern } from './route-pattern.js'

/** MLflow's notebooks embed this part of its UI, wherever they are served from. */
export const TRACE_RENDERER = '/static-files/lib/notebook-trace-renderer/'

/** The methods that are passed on: those that Fastify knows. */
export const PASSED = [...METHODS, 'QUERY', 'TRACE'] as const

/** The name of the constraint that tells requests with the same URL apart. */
const CONSTRAINT = 'mlflowGateway'

/** The path has no escapes after the static prefix: MLflow serves its UI at `…/notebook-trace-renderer/..%2F..%2Findex.html`. */
const PLAIN = 'plain'
/** The same, and a form has sent the request. */
const FORM = 'form'

declare module 'fastify' {
  interface RouteConstraint {
    /** The kind of requests that a route of the gateway takes. */
    mlflowGateway?: 'plain' | 'form'
  }
}

type Parts = Pick<RouteOptions, 'preParsing' | 'preHandler' | 'handler' | 'errorHandler' | 'config'>

/** Adds the routes that pass everything on to the MLflow server. Routes of the app stay as they are. */
export function addRoutes (app: FastifyInstance, { staticPrefix, callbackPaths }: GatewaySettings, parts: Parts): void {
  const { healthRoutes } = app.mlflowSecurity.settings
  const renderer = `${routePattern(staticPrefix)}${TRACE_RENDERER}*`
  const isFree = (url: string): boolean => url !== '/*' && !PASSED.some(method => app.hasRoute({ url, method }))
  const health = healthRoutes.filter(url => url !== renderer && isFree(url))

  addConstraint(app, staticPrefix)
  app.route({ ...parts, method: [...PASSED], url: '/*' })
  for (const url of new Set(health)) app.route({ ...parts, method: [...PASSED], url, constraints: { [CONSTRAINT]: PLAIN } })
  app.route({
    ...parts, method: [...PASSED], url: renderer, constraints: { [CONSTRAINT]: PLAIN }, config: { mlflowSecurity: { frameOptions: 'NONE' } }
  })
  for (const path of new Set(callbackPaths)) {
    app.route({
      ...parts, method: 'POST', url: routePattern(path), constraints: { [CONSTRAINT]: FORM }, config: { mlflowSecurity: { origin: false } }
    })
  }
}

/** The router finds out the kind of each request. It uses only the routes for that kind, or those without a kind. */
function addConstraint (app: FastifyInstance, staticPrefix: string): void {
  const isPlain = createIsPlain(staticPrefix)
  app.addConstraintStrategy({
    name: CONSTRAINT,
    storage () {
      const routes = new Map<unknown, Parameters<ReturnType<Parameters<typeof app.addConstraintStrategy>[0]['storage']>['set']>[1]>()
      return {
        get: kind => routes.get(kind) ?? (kind === FORM ? routes.get(PLAIN) : undefined) ?? null, // a form is plain, too
        set: (kind, route) => { routes.set(kind, route) }
      }
    },
    deriveConstraint: ({ url = '', headers }) => isPlain(url) ? kindOf(headers) : undefined
  })
}

const FORM_TYPE = /^application\/x-www-form-urlencoded\s*(;|$)/i

function kindOf ({ 'content-type': type = '', upgrade }: IncomingHttpHeaders): typeof PLAIN | typeof FORM {
  return upgrade === undefined && FORM_TYPE.test(type) ? FORM : PLAIN
}
