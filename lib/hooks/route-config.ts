import type { FastifyRequest, RouteOptions } from 'fastify'
import { invalidRouteConfig, lateRouteConfig } from './errors.js'
import { descendants, hasRoutes } from './instance.js'
import type { Lineage } from './instance.js'
import { isCorsOptions } from '../settings/validate.js'
import type { CorsOptions, RouteOverride } from '../../types/index.js'

const ALLOWED = 'false, or an object with host: false, origin: false and frameOptions: "SAMEORIGIN", "DENY" or "NONE"'
/** The `@fastify/cors` options that a route may set. The plugin decides whose pages may call, and what a preflight is. */
const CORS_OPTIONS = ['exposedHeaders']
/** Options that affect only preflights. A preflight goes to the OPTIONS route, so only that may set them. */
const PREFLIGHT_OPTIONS = [...CORS_OPTIONS, 'methods', 'allowedHeaders', 'maxAge', 'cacheControl', 'preflight']
const ALLOWED_CORS = 'false, or an object with the @fastify/cors option exposedHeaders; on a route for OPTIONS, where preflights go, also ' +
  'methods, allowedHeaders, maxAge, cacheControl (a string) and preflight'

const isFalse = (value: unknown): boolean => value === false
/** The keys of an override, and what each may be. */
const VALUES: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ['host', isFalse],
  ['origin', isFalse],
  ['frameOptions', (value: unknown) => value === 'SAMEORIGIN' || value === 'DENY' || value === 'NONE']
])

const NONE: RouteOverride = Object.freeze({})
const UNPROTECTED: RouteOverride = Object.freeze({ host: false, origin: false, frameOptions: 'NONE' })

/** The parts of a route that are checked. */
type Checked = Pick<RouteOptions, 'url' | 'method' | 'config'>

/** A route's own settings, in the form that the hooks need. */
interface RouteSettings {
  readonly override: RouteOverride
  /** `config.cors`; `undefined` if the route has none. */
  readonly cors: RouteCors | undefined
}

/** A route's CORS settings: `false` for no headers, or `@fastify/cors` options that open nothing. */
export type RouteCors = false | CorsOptions

/** A route as an onRoute hook sees it. */
interface Shown {
  readonly route: RouteOptions
  readonly url: string
  /** Its config object, and a copy of the values at that time. */
  readonly given: object
  readonly then: OwnKeys
}

/** The keys of a route's config that this plugin reads. */
interface OwnKeys {
  readonly mlflowSecurity?: unknown
  readonly cors?: unknown
}

/** Checks the settings of a route. */
export type CheckRoute = (route: Checked) => void

/** @throws FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG */
export const checkRoute: CheckRoute = ({ url, method, config }) => {
  parseRoute(url, method, config ?? {})
}

/** The same if security is disabled. CORS is then left to the app. */
export const checkOverride: CheckRoute = ({ url, config }) => {
  parseRouteConfig(url, config ?? {})
}

/** The settings of a server's routes. */
export interface RouteOverrides {
  /**
   * @returns the overrides of the route that the router matched, whatever the request's URL looks like. A route that
   *   was registered before the plugin is checked here: if its overrides are wrong, they are logged and ignored.
   */
  of (request: FastifyRequest): RouteOverride
  /** @returns `config.cors` of that route */
  corsOf (request: FastifyRequest): RouteCors | undefined
}

/**
 * Checks routes when they are registered, on existing instances too, and again when the server is ready, because a later
 * onRoute hook may have changed them. Routes that were registered before the plugin are checked on their first request.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG, from the registration of a route or from `ready()`
 */
export function watchRoutes ({ root }: Lineage, check: CheckRoute): RouteOverrides {
  const shown: Shown[] = []
  let exist = hasRoutes(root)
  const note = ({ mlflowSecurity, cors }: OwnKeys) => { exist ||= mlflowSecurity !== undefined || cors !== undefined }

  function watchRoute (route: RouteOptions): void {
    check(route)
    const given = route.config ?? {}
    // From here on, onRoute hooks change this copy, which Fastify uses. Changes of the original object come too late.
    route.config = { ...given }
    note(given)
    shown.push({ route, url: route.url, given, then: ownKeysOf(given) })
  }

  for (const instance of [root, ...descendants(root)]) instance.addHook('onRoute', watchRoute)
  root.addHook('onReady', done => {
    for (const { route, url, given, then } of shown.splice(0)) {
      const { method, config = {} } = route
      check({ url, method, config })
      note(config)
      refuseLateChange(url, ownKeysOf(given), then)
    }
    done()
  })

  // Fastify rebuilds `routeOptions` on each read, and most servers have no overrides.
  return {
    of: request => exist ? routeSettings(request).override : NONE,
    corsOf: request => exist ? routeSettings(request).cors : undefined
  }
}

function ownKeysOf ({ mlflowSecurity, cors }: OwnKeys): OwnKeys {
  return { mlflowSecurity, cors }
}

/** Fastify copies a route's config when it registers the route. Later changes would silently do nothing. */
function refuseLateChange (url: string, now: OwnKeys, then: OwnKeys): void {
  const late = now.mlflowSecurity !== then.mlflowSecurity ? 'mlflowSecurity' : now.cors !== then.cors ? 'cors' : undefined
  if (late !== undefined) throw lateRouteConfig(url, late, now[late])
}

const UNSET: RouteSettings = Object.freeze({ override: NONE, cors: undefined })

const known = new WeakMap<object, RouteSettings>()

function routeSettings (request: FastifyRequest): RouteSettings {
  const { url, config } = request.routeOptions
  const { mlflowSecurity, cors }: OwnKeys = config
  if (mlflowSecurity === undefined && cors === undefined) return UNSET
  if (url === undefined) return UNSET // no route: the config of setNotFoundHandler, which nobody has checked
  const settings = known.get(config) ?? parseLate(request, config)
  known.set(config, settings)
  return settings
}

function parseLate (request: FastifyRequest, config: object): RouteSettings {
  const { url = '', method } = request.routeOptions
  try {
    return parseRoute(url, method, config)
  } catch (error) {
    request.log.error(error, 'The route was registered before fastify-mlflow-security, and its overrides are wrong. They are ignored: register fastify-mlflow-security first')
    return UNSET
  }
}

function parseRoute (url: string, method: Checked['method'], config: object): RouteSettings {
  return Object.freeze({ override: parseRouteConfig(url, config), cors: parseCors(url, method, config) })
}

/** `@fastify/cors` treats an undefined option as a value. */
function parseCors (url: string, method: Checked['method'], { cors }: OwnKeys): RouteCors | undefined {
  if (cors === undefined || cors === false) return cors
  // Fastify adds a HEAD route with the same config to a route for GET and OPTIONS.
  const names = [method].flat().some(name => name === 'OPTIONS' || name === 'HEAD') ? PREFLIGHT_OPTIONS : CORS_OPTIONS
  // A number for cacheControl would be sent as it is.
  const isAllowed = isObject(cors) && Object.entries(cors).every(([key, value]) =>
    names.includes(key) && value !== undefined && !(key === 'cacheControl' && typeof value === 'number'))
  if (!isAllowed || !isCorsOptions(cors)) throw invalidRouteConfig(url, 'cors', cors, ALLOWED_CORS)
  return Object.freeze({ ...cors })
}

function parseRouteConfig (url: string, { mlflowSecurity: override }: OwnKeys): RouteOverride {
  if (override === undefined) return NONE
  if (override === false) return UNPROTECTED
  if (!isOverride(override)) {
    const unknown = isObject(override) ? Object.keys(override).find(key => !VALUES.has(key)) : undefined
    throw invalidRouteConfig(url, 'mlflowSecurity', override, ALLOWED, unknown)
  }
  return Object.freeze({ ...override })
}

function isOverride (value: unknown): value is RouteOverride {
  return isObject(value) && Object.entries(value).every(isAllowed)
}

function isAllowed ([key, value]: [string, unknown]): boolean {
  const isRight = VALUES.get(key)
  return isRight !== undefined && (value === undefined || isRight(value))
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
