import type { FastifyRequest, RouteOptions } from 'fastify'
import { invalidRouteConfig } from '../settings/errors.js'
import type { Lineage } from './instance.js'
import { isCorsOptions } from '../settings/settings.js'
import type { FrameOptions } from '../../types/index.js'

/** What a route does without, and its own X-Frame-Options. */
export interface RouteSettings {
  readonly host: boolean
  readonly origin: boolean
  readonly frameOptions: FrameOptions | undefined
}

const ALLOWED = 'false, or an object with host: false, origin: false and frameOptions: "SAMEORIGIN", "DENY" or "NONE"'
/** The `@fastify/cors` options that a route may have of its own: whose pages may call, and what a preflight is, the plugin decides. */
const CORS_OPTIONS = ['exposedHeaders']
/** Those that only preflights are answered by, and a preflight goes to the route of its OPTIONS. */
const PREFLIGHT_OPTIONS = [...CORS_OPTIONS, 'methods', 'allowedHeaders', 'maxAge', 'cacheControl', 'preflight']
const ALLOWED_CORS = 'false, or an object with the @fastify/cors option exposedHeaders; on a route for OPTIONS, where preflights go, also ' +
  'methods, allowedHeaders, maxAge, cacheControl (a string) and preflight'

const NONE: RouteSettings = { host: false, origin: false, frameOptions: undefined }
const UNPROTECTED: RouteSettings = { host: true, origin: true, frameOptions: 'NONE' }

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
  of (request: FastifyRequest): RouteSettings
}

/** Checks routes while they are being registered; those that are there already are checked on their first request. */
export function watchRoutes (
  { root, instances }: Lineage, check: (route: Checked) => void
): RouteOverrides {
  let exist = /\([A-Z]+/.test(root.printRoutes())
  for (const instance of instances) {
    instance.addHook('onRoute', route => {
      check(route)
      exist ||= route.config?.mlflowSecurity !== undefined
    })
  }
  // Fastify builds `routeOptions` anew whenever a request is asked for them, and most servers have no overrides.
  return { of: request => exist ? routeSettings(request) : NONE }
}

const known = new WeakMap<object, RouteSettings>()

function routeSettings (request: FastifyRequest): RouteSettings {
  const { config } = request.routeOptions
  if (config.mlflowSecurity === undefined && !('cors' in config)) return NONE
  const settings = known.get(config) ?? parseLate(request, config)
  known.set(config, settings)
  return settings
}

function parseLate (request: FastifyRequest, config: object): RouteSettings {
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

function parseRouteConfig (url: string, config: object): RouteSettings {
  if (!('mlflowSecurity' in config) || config.mlflowSecurity === undefined) return NONE
  const override = config.mlflowSecurity
  if (override === false) return UNPROTECTED
  if (!isOverride(override)) throw invalidRouteConfig(url, 'mlflowSecurity', override, ALLOWED)
  return { host: override.host === false, origin: override.origin === false, frameOptions: override.frameOptions }
}

function isOverride (value: unknown): value is { host?: false, origin?: false, frameOptions?: FrameOptions } {
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
