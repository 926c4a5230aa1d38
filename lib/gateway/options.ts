import type { Server } from 'node:http'
import type { SecureContextOptions } from 'node:tls'
import type { FastifyHttpOptions } from 'fastify'
import { invalidOption, missingOption } from '../settings/errors.js'
import type { MlflowSecurityOptions } from '../../types/index.js'

/** The settings of the plugin, and of the gateway around it. */
export interface GatewayOptions extends MlflowSecurityOptions {
  /**
   * The MLflow server: `http://host[:port][/path]` or `https://…`. Environment: `MLFLOW_TRACKING_URI`.
   */
  upstream?: string | undefined
  /** The `--static-prefix` that the MLflow server was started with: `/mlflow`. */
  staticPrefix?: string | undefined
  /**
   * Seconds to wait for the MLflow server to begin its answer; 0 waits as long as it takes. Bodies have no limit.
   * @default 0
   */
  upstreamTimeout?: number | undefined
  /** Certificates in PEM that are trusted in place of the well-known ones, for an upstream by https. */
  upstreamCa?: SecureContextOptions['ca']
  /** Options of the Fastify app: `logger`, `trustProxy` and others. */
  fastify?: FastifyHttpOptions<Server> | undefined
  /** Certificate and key in PEM: the gateway then speaks https itself. */
  tls?: Pick<SecureContextOptions, 'cert' | 'key' | 'passphrase'> | undefined
}

/** The MLflow server, as the proxy knows it. */
export interface Upstream {
  /** `http://127.0.0.1:5000`, as the URL parser prints it. */
  readonly origin: string
  /** `127.0.0.1:5000` */
  readonly host: string
  /** The path below which the server is, without a trailing slash; empty for the root. */
  readonly path: string
  /** Milliseconds, 0 for no limit. */
  readonly headersTimeout: number
  readonly ca: SecureContextOptions['ca']
}

/** What {@link resolveGatewayOptions} makes of the options. */
export interface GatewaySettings {
  readonly upstream: Upstream
  /** Empty, or `/mlflow`. */
  readonly staticPrefix: string
  /** The plugin's own, `healthRoutes` below the static prefix. */
  readonly security: MlflowSecurityOptions
}

const UPSTREAM = {
  name: 'upstream (MLFLOW_TRACKING_URI, --upstream)',
  allowed: 'the URL of an MLflow server, http://127.0.0.1:5000 or https://mlflow.internal/path'
}
const STATIC_PREFIX = {
  name: 'staticPrefix (--static-prefix)',
  allowed: 'the path that mlflow server has as its --static-prefix, with a leading and without a trailing slash: /mlflow'
}
const UPSTREAM_TIMEOUT = {
  name: 'upstreamTimeout (--upstream-timeout)',
  allowed: 'seconds, 0 for no limit, at most 86400'
}

const TLS = { name: 'tls (--cert, --key)', allowed: 'an object with cert and key in PEM' }
const FASTIFY = { name: 'fastify', allowed: 'an object with options of the Fastify app' }

/**
 * Resolves what the gateway adds to the settings of the plugin; those are left to the plugin.
 *
 * @param environment - `process.env`
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION
 */
export function resolveGatewayOptions (
  { upstream, staticPrefix, upstreamTimeout, upstreamCa, fastify, tls, ...security }: GatewayOptions,
  environment: Readonly<Record<string, string | undefined>>
): GatewaySettings {
  if (fastify !== undefined && !isObject(fastify)) throw invalidOption(FASTIFY, fastify, 'is no object')
  // What it is, a key perhaps, is nothing for a log.
  if (tls !== undefined && !(isObject(tls) && tls.cert && tls.key)) throw invalidOption(TLS, Object.keys(Object(tls)), 'has no cert or no key')
  const prefix = resolvePrefix(staticPrefix)
  const { origin, host, pathname } = resolveUpstream(upstream ?? environment.MLFLOW_TRACKING_URI ?? '')
  return {
    upstream: { origin, host, path: pathname.replace(/\/+$/, ''), headersTimeout: resolveTimeout(upstreamTimeout), ca: upstreamCa },
    staticPrefix: prefix,
    security: { healthRoutes: healthRoutes(prefix), ...security }
  }
}

/** MLflow's own, which probes ask by whatever Host they like. */
export function healthRoutes (staticPrefix: string): string[] {
  return [`${staticPrefix}/health`, `${staticPrefix}/version`]
}

function resolveUpstream (value: string): URL {
  if (value === '') throw missingOption(UPSTREAM)
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const withScheme = `http://${value}`
    const isHost = /^[^/:]+(:\d+)?(\/.*)?$/.test(value) && URL.canParse(withScheme)
    throw invalidOption(UPSTREAM, value, 'is no http or https URL', isHost ? withScheme : undefined)
  }
  if (url.username !== '' || url.password !== '') {
    throw invalidOption(UPSTREAM, `${url.protocol}//***@${url.host}`, 'carries credentials; clients send their own, which pass', url.origin)
  }
  if (url.port === '0') throw invalidOption(UPSTREAM, value, 'has port 0, on which no server can be reached')
  if (url.search !== '' || url.hash !== '') throw invalidOption(UPSTREAM, value, 'has a query or a fragment', `${url.origin}${url.pathname}`)
  return url
}

/** @throws FST_MLFLOW_SECURITY_INVALID_OPTION */
export function resolvePrefix (value = ''): string {
  // The characters of a path segment (RFC 3986 §3.3) but for those that mean something to the router.
  if (value === '' || /^(\/(?!\.+(\/|$))[A-Za-z0-9._~-]+)+$/.test(value)) return value
  const plain = `/${value.replace(/^\/+|\/+$/g, '')}`
  throw invalidOption(STATIC_PREFIX, value, 'is no such path', plain !== value && plain !== '/' ? plain : undefined)
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function resolveTimeout (value = 0): number {
  if (!(value >= 0 && value <= 86400)) throw invalidOption(UPSTREAM_TIMEOUT, value, 'is no such number')
  return Math.ceil(value * 1000)
}
