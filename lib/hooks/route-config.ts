import type { FastifyRequest, RouteOptions } from 'fastify'
import { invalidRouteConfig } from './errors.js'
import { hasRoutes } from './instance.js'
import type { Lineage } from './instance.js'
import { isCorsOptions } from '../settings/resolve.js'
import type { RouteOverride } from '../../types/index.js'

const ALLOWED = 'false, or an object with host: false, origin: false and frameOptions: "SAMEORIGIN", "DENY" or "NONE"'
/** The `@fastify/cors` options that a route may have of its own: whose pages may call, and what a preflight is, the plugin decides. */
const CORS_OPTIONS = ['exposedHeaders']
/** Those that only preflights are answered by, and a preflight goes to the route of its OPTIONS. */
const PREFLIGHT_OPTIONS = [...CORS_OPTIONS, 'methods', 'allowedHeaders', 'maxAge', 'cacheControl', 'preflight']
const ALLOWED_CORS = 'false, or an object with the @fastify/cors option exposedHeaders; on a route for OPTIONS, where preflights go, also ' +
  'methods, allowedHeaders, maxAge, cacheControl (a string) and preflight'

const NONE: RouteOverride = Object.freeze({})
const UNPROTECTED: RouteOverride = Object.freeze({ host: false, origin: false, frameOptions: 'NONE' })

/** What of a route is checked. */
type Checked = Pick<RouteOptions, 'url' | 'method' | 'config'>

/**
 * An onRoute hook: checks a route's overrides while it is being registered.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG
 */
export function checkRoute ({ url, method, config }: Checked): void {
  checkCors(url, method, config ?? {})
  parseRouteConfig(url, config ?? {})
}

/** An onRoute hook: the same where security is disabled, and CORS is the app's own. */
export function checkOverride ({ url, config }: Checked): void {
  parseRouteConfig(url, config ?? {})
}

/** The overrides of a server's routes. */
export interface RouteOverrides {
  /**
   * @returns the overrides of the route that the router matched, whatever the request's URL looks like. A route that
   *   was registered before the plugin was never checked: where its overrides are wrong, it has none, and says so.
   */
  of (request: FastifyRequest): RouteOverride
}

/** Checks routes while they are being registered; those that are there already are checked on their first request. */
export function watchRoutes (
  { root, instances }: Lineage, check: (route: Checked) => void
): RouteOverrides {
  let exist = hasRoutes(root)
  for (const instance of instances) {
    instance.addHook('onRoute', route => {
      check(route)
      exist ||= route.config?.mlflowSecurity !== undefined
    })
  }
  // Fastify builds `routeOptions` anew whenever a request is asked for them, and most servers have no overrides.
  return { of: request => exist ? routeSettings(request) : NONE }
}

const known = new WeakMap<object, RouteOverride>()

function routeSettings (request: FastifyRequest): RouteOverride {
  const { config } = request.routeOptions
  if (config.mlflowSecurity === undefined && !('cors' in config)) return NONE
  const settings = known.get(config) ?? parseLate(request, config)
  known.set(config, settings)
  return settings
}

function parseLate (request: FastifyRequest, config: object): RouteOverride {
  const { url = '', method } = request.routeOptions
  try {
    checkCors(url, method, config)
    return parseRouteConfig(url, config)
  } catch (error) {
    request.log.error(error, 'The route was registered before fastify-mlflow-security, and its overrides are wrong: it has none')
    Reflect.deleteProperty(config, 'cors') // @fastify/cors would heed it; the object is Fastify's own copy
    return NONE
  }
}

/** `@fastify/cors` would let a route's own `cors` overrule the plugin's verdict on Origins, and takes an undefined option for a value. */
function checkCors (url: string, method: Checked['method'], config: object): void {
  if (!('cors' in config) || config.cors === undefined || config.cors === false) return
  const { cors } = config
  // Fastify adds a HEAD route of its own to one for GET and OPTIONS, with the same config.
  const names = [method].flat().some(name => name === 'OPTIONS' || name === 'HEAD') ? PREFLIGHT_OPTIONS : CORS_OPTIONS
  // A number for cacheControl would go out as it is.
  const isAllowed = isObject(cors) && Object.entries(cors).every(([key, value]) =>
    names.includes(key) && value !== undefined && !(key === 'cacheControl' && typeof value === 'number'))
  if (!isAllowed || !isCorsOptions(cors)) throw invalidRouteConfig(url, 'cors', cors, ALLOWED_CORS)
}

function parseRouteConfig (url: string, config: object): RouteOverride {
  if (!('mlflowSecurity' in config) || config.mlflowSecurity === undefined) return NONE
  const override = config.mlflowSecurity
  if (override === false) return UNPROTECTED
  if (!isOverride(override)) throw invalidRouteConfig(url, 'mlflowSecurity', override, ALLOWED)
  return Object.freeze({ ...override })
}

function isOverride (value: unknown): value is RouteOverride {
  return isObject(value) && Object.entries(value).every(isAllowed)
}

function isAllowed ([key, value]: [string, unknown]): boolean {
  switch (key) {
    case 'host':
    case 'origin': return value === false || value === undefined
    case 'frameOptions': return value === 'SAMEORIGIN' || value === 'DENY' || value === 'NONE' || value === undefined
    default: return false
  }
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
