import type { Server } from 'node:http'
import type { SecureContextOptions } from 'node:tls'
import type { FastifyHttpOptions, FastifyInstance } from 'fastify'
import { invalidOption, missingOption, UnknownOptionError } from '../settings/errors.js'
import { splitList } from '../settings/list.js'
import { REGISTER_OPTIONS, refuseUnknown } from '../settings/resolve.js'
import { settingsTable } from '../settings/table.js'
import { routePattern } from './route-pattern.js'
import { resolvePrefix, withoutPrefix } from './static-prefix.js'
import { describeOwn, gatewayTable, isOwn, ownOptionNames } from './table.js'
import type { MlflowSecurityOptions } from '../../types/index.js'

/** The settings of the gateway as a plugin, and those of `fastify-mlflow-security`, which it registers if the app has not. */
export interface GatewayPluginOptions extends MlflowSecurityOptions {
  /**
   * The MLflow server: `http://host[:port][/path]` or `https://…`. Environment: `MLFLOW_TRACKING_URI`.
   */
  upstream?: string | undefined
  /**
   * The `--static-prefix` that the MLflow server was started with, as it stands in the browser's address: `/mlflow`,
   * `/user/ada%40company.com/proxy/5000`.
   */
  staticPrefix?: string | undefined
  /**
   * Seconds to wait for the MLflow server to begin its answer; 0 waits as long as it takes. Bodies have no limit.
   * @default 0
   */
  upstreamTimeout?: number | undefined
  /** Certificates in PEM that are trusted in place of the well-known ones, for an upstream by https. */
  upstreamCa?: SecureContextOptions['ca']
  /**
   * Paths that accept form posts of other sites, as an identity provider sends them: `/callback`. Exact paths, with the static
   * prefix if there is one, none of MLflow's API. The MLflow server has to check these posts itself.
   */
  callbackPaths?: string | readonly string[] | undefined
}

/** @returns the options of the plugin among those of `createGateway` */
export function pluginOptions (options: GatewayOptions): GatewayPluginOptions {
  return Object.fromEntries(ownOptionNames.map(name => [name, options[name]]))
}

/** The options of {@link createGateway} alone: the app is then its own. */
const OF_CREATE_GATEWAY = ['before', 'fastify', 'tls'] as const

/** The gateway's own options, as a message lists them. */
const OWN = [...ownOptionNames, ...OF_CREATE_GATEWAY]

/** Options of Fastify that people give to the gateway itself. */
const OF_FASTIFY = new Set([
  'trustProxy', 'logger', 'loggerInstance', 'disableRequestLogging', 'bodyLimit', 'http', 'http2', 'https', 'keepAliveTimeout',
  'connectionTimeout', 'requestTimeout', 'requestIdHeader', 'genReqId', 'routerOptions', 'rewriteUrl', 'serverFactory'
])

/** The settings of a gateway that makes its own server. */
export interface GatewayOptions extends GatewayPluginOptions {
  /**
   * Adds plugins, hooks and routes of your own: a login, a rate limit. They run after the checks of Host and Origin, and before
   * the gateway's own routes.
   */
  before?: ((app: FastifyInstance) => void | PromiseLike<unknown>) | undefined
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

/** The options, resolved by {@link resolveGatewayOptions}. */
export interface GatewaySettings {
  readonly upstream: Upstream
  /** Empty, or `/mlflow`. */
  readonly staticPrefix: string
  readonly callbackPaths: readonly string[]
  /** The plugin's own, `healthRoutes` below the static prefix. */
  readonly security: MlflowSecurityOptions
}

const BEFORE = { name: 'before', allowed: 'a function that takes the app' }
const TLS = { name: 'tls (--cert, --key)', allowed: 'an object with cert and key in PEM' }
const FASTIFY = { name: 'fastify', allowed: 'an object with options of the Fastify app' }

/**
 * Resolves the gateway's own options. The plugin resolves the others.
 *
 * @param environment - `process.env`
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_UNKNOWN_OPTION
 */
export function resolveGatewayOptions (
  { upstream, staticPrefix, upstreamTimeout, upstreamCa, callbackPaths, fastify, tls, before, ...security }: GatewayOptions,
  environment: Readonly<Record<string, string | undefined>>
): GatewaySettings {
  refuseStrange(security)
  if (fastify !== undefined && !isObject(fastify)) throw invalidOption(FASTIFY, fastify, 'is not an object')
  // The value may be a key, so the message does not show it.
  if (tls !== undefined && !(isObject(tls) && tls.cert && tls.key)) throw invalidOption(TLS, Object.keys(Object(tls)), 'has no cert or no key')
  if (before !== undefined && typeof before !== 'function') throw invalidOption(BEFORE, before, 'is not a function')
  const prefix = resolvePrefix(staticPrefix)
  const { origin, host, pathname } = resolveUpstream(upstream ?? environment[gatewayTable.upstream.variable] ?? '')
  return {
    upstream: { origin, host, path: pathname.replace(/\/+$/, ''), headersTimeout: resolveTimeout(upstreamTimeout), ca: upstreamCa },
    staticPrefix: prefix,
    callbackPaths: resolveCallbackPaths(callbackPaths, prefix),
    security: { healthRoutes: settingsTable.healthRoutes.default.map(route => routePattern(prefix) + route), ...security }
  }
}

function refuseStrange (security: MlflowSecurityOptions): void {
  const name = Object.keys(security).find(name => OF_FASTIFY.has(name))
  if (name !== undefined) throw new UnknownOptionError(`Unknown option "${name}". It is an option of the Fastify app. Write createGateway({ fastify: { ${name}: … } }), or Fastify({ ${name}: … }) in your own app.`)
  refuseUnknown(security, OWN)
}

/**
 * The app exists when the plugin is registered, so these options could do nothing. A login in `before` would be missing.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION if one is given
 */
export function refuseAppOptions (options: GatewayOptions): void {
  const name = OF_CREATE_GATEWAY.find(name => options[name] !== undefined)
  // The value may be a key, so the message does not show it.
  if (name !== undefined) throw invalidOption({ name, allowed: IN_AN_APP[name] }, Object.keys(Object(options[name])), 'would do nothing')
}

const IN_AN_APP: Readonly<Record<typeof OF_CREATE_GATEWAY[number], string>> = {
  before: 'only with createGateway. In your own app, register logins and limits yourself, before the gateway',
  fastify: 'only with createGateway. In your own app, give these options to Fastify() itself',
  tls: 'only with createGateway. In your own app, give the certificate to Fastify({ https: … }) itself'
}

/**
 * Checks that the gateway is given no settings of the plugin if the plugin is registered already.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION if it is given some
 */
export function refuseSecuritySettings (options: GatewayPluginOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || isOwn(name) || REGISTER_OPTIONS.includes(name)) continue
    throw invalidOption({ name, allowed: 'nothing here, because fastify-mlflow-security is registered already. Give it the setting there' }, value, 'would do nothing')
  }
}

const API = /^\/(ajax-)?api(\/|$)/i

function resolveCallbackPaths (value: GatewayPluginOptions['callbackPaths'] = [], prefix: string): string[] {
  const paths = splitList(value)
  for (const path of paths) {
    const below = withoutPrefix(path, prefix)
    if (!/^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._~!$&'()*+;=:@-]+)+\/?$/.test(below)) throw invalidOption(describeOwn('callbackPaths'), path, 'is not a valid path')
    if (API.test(path) || API.test(below)) throw invalidOption(describeOwn('callbackPaths'), path, "is MLflow's API, which other sites must not write to")
  }
  return paths
}

function resolveUpstream (value: string): URL {
  if (value === '') throw missingOption(describeOwn('upstream'))
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const withScheme = `http://${value}`
    const isHost = /^[^/:]+(:\d+)?(\/.*)?$/.test(value) && URL.canParse(withScheme)
    throw invalidOption(describeOwn('upstream'), value, 'is not an http or https URL', isHost ? withScheme : undefined)
  }
  if (url.username !== '' || url.password !== '') {
    throw invalidOption(describeOwn('upstream'), `${url.protocol}//***@${url.host}`, 'contains credentials. Leave them out: clients send their own, and those pass', url.origin)
  }
  if (url.port === '0') throw invalidOption(describeOwn('upstream'), value, 'has port 0, on which no server can be reached')
  if (url.search !== '' || url.hash !== '') throw invalidOption(describeOwn('upstream'), value, 'has a query or a fragment', `${url.origin}${url.pathname}`)
  return url
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function resolveTimeout (value = 0): number {
  if (!(value >= 0 && value <= 86400)) throw invalidOption(describeOwn('upstreamTimeout'), value, 'is not a valid number')
  return Math.ceil(value * 1000)
}
