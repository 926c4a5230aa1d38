import type { FastifyCorsOptions } from '@fastify/cors'
import type { IncomingHttpHeaders } from 'node:http'

export type FrameOptions = 'SAMEORIGIN' | 'DENY' | 'NONE'

/** The options that are passed on to `@fastify/cors`. This plugin itself decides on origins and credentials. */
export type CorsOptions = Pick<FastifyCorsOptions,
  | 'methods' | 'allowedHeaders' | 'exposedHeaders' | 'maxAge' | 'cacheControl' | 'optionsSuccessStatus'
  | 'preflight' | 'preflightContinue'>

/** A list: an array, or a string with commas. Pieces are trimmed, empty pieces dropped. */
export type List = string | readonly string[]

/** A switch as an environment variable or a flag has it: `'true'`, `'false'`, `'1'` or `'0'`, in any case. */
export type Switch = boolean | string

/** The documented environment variables of the MLflow tracking server, as `@fastify/env` hands them over. */
export interface MlflowSecurityEnvironment {
  MLFLOW_SERVER_ALLOWED_HOSTS?: List | undefined
  MLFLOW_SERVER_CORS_ALLOWED_ORIGINS?: List | undefined
  MLFLOW_SERVER_X_FRAME_OPTIONS?: string | undefined
  MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE?: Switch | undefined
}

export interface MlflowSecurityOptions extends MlflowSecurityEnvironment {
  /**
   * Hosts that requests may name, against DNS rebinding. Environment: `MLFLOW_SERVER_ALLOWED_HOSTS`.
   * @default localhost and private addresses
   */
  allowedHosts?: List | undefined
  /**
   * Origins whose pages may call this server and read its answers. Environment: `MLFLOW_SERVER_CORS_ALLOWED_ORIGINS`.
   * @default 'localhost:*'
   */
  corsAllowedOrigins?: List | undefined
  /**
   * The X-Frame-Options header, against clickjacking; `NONE` sends none. Environment: `MLFLOW_SERVER_X_FRAME_OPTIONS`.
   * @default 'SAMEORIGIN'
   */
  xFrameOptions?: FrameOptions | Lowercase<FrameOptions> | undefined
  /**
   * Turns everything off: no check, no header. Environment: `MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE`.
   * @default false
   */
  disableSecurityMiddleware?: Switch | undefined
  /**
   * Logs and publishes what would be refused, and lets it pass.
   * @default false
   */
  reportOnly?: Switch | undefined
  /**
   * Routes that answer for every Host, as they are registered.
   * @default ['/health', '/version']
   */
  healthRoutes?: List | undefined
  /** Sites that may embed this one, in addition to itself: `Content-Security-Policy: frame-ancestors`. */
  frameAncestors?: List | undefined
  /** Further `@fastify/cors` options. */
  cors?: CorsOptions | undefined
}

/** The settings in force, frozen. */
export interface Settings {
  readonly allowedHosts: readonly string[]
  readonly corsAllowedOrigins: readonly string[]
  readonly xFrameOptions: FrameOptions
  readonly disableSecurityMiddleware: boolean
  readonly reportOnly: boolean
  readonly healthRoutes: readonly string[]
  readonly frameAncestors: readonly string[]
  readonly cors: Readonly<CorsOptions>
}

/** The parts of a request that a verdict needs. Node's `IncomingMessage` and `Http2ServerRequest` have them. */
export interface RequestHead {
  readonly method?: string | undefined
  readonly url?: string | undefined
  /** The original target, if the server has rewritten `url`. */
  readonly originalUrl?: string | undefined
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn, as they came. Without them, a second Host header is not noticed. */
  readonly rawHeaders?: readonly string[] | undefined
  /** The connection. If its `encrypted` is true, the request came by https. */
  readonly socket?: object | undefined
}

/** The rule that let a request pass. */
export type AllowedRule =
  /** Security is disabled. */
  | 'disabled'
  /** `corsAllowedOrigins` has `*`. */
  | 'any-origin'
  /** The Origin is in `corsAllowedOrigins`. */
  | 'listed-origin'
  /** The Origin is the server's own. */
  | 'own-page'
  /** No Origin, and nothing says that another site sent it: curl, SDKs. */
  | 'no-origin'
  /** GET, HEAD, OPTIONS, TRACE: CORS headers decide who may read the answer. */
  | 'safe-method'
  /** The route has `origin: false`. */
  | 'exempt-route'

export interface Allowed {
  readonly allowed: true
  readonly rule: AllowedRule
}

interface RefusedRequest {
  readonly allowed: false
  /** The refused value, as it came; empty if it is missing. */
  readonly value: string
  /** The reason and the fix in words. */
  readonly message: string
}

export interface HostNotAllowed extends RefusedRequest {
  readonly check: 'host'
  readonly code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED'
  readonly statusCode: 403
  readonly setting: 'allowedHosts'
  /** What to add to the setting. */
  readonly entry: string
}

export interface HostMalformed extends RefusedRequest {
  readonly check: 'host'
  readonly code: 'FST_MLFLOW_SECURITY_HOST_MALFORMED'
  readonly statusCode: 400
  /** No entry allows a malformed Host. */
  readonly setting: undefined
  readonly entry: undefined
}

export interface CrossOrigin extends RefusedRequest {
  readonly check: 'origin'
  readonly code: 'FST_MLFLOW_SECURITY_CROSS_ORIGIN'
  readonly statusCode: 403
  /**
   * `allowedHosts` if the browser says that it is the server's own page, on a host that is not in that list; `undefined` if no
   * entry helps: for a malformed Origin, or none at all.
   */
  readonly setting: 'corsAllowedOrigins' | 'allowedHosts' | undefined
  /** What to add to the setting. */
  readonly entry: string | undefined
}

export type Refused = HostNotAllowed | HostMalformed | CrossOrigin

export type Verdict = Allowed | Refused

export interface MlflowSecurity {
  readonly settings: Settings
  /**
   * The verdict on a request outside Fastify's routing, for example in a raw `upgrade` handler. Route overrides do not count,
   * and `reportOnly` does not change it. Behind a trusted proxy it decides on the Host that the proxy sent,
   * not on X-Forwarded-Host, and recognises https only by the connection.
   *
   * @example
   * app.server.on('upgrade', (request, socket) => {
   *   if (!app.mlflowSecurity.inspect(request).allowed) socket.destroy()
   * })
   */
  inspect (request: RequestHead): Verdict
}

/** The checks that a route turns off, and its own X-Frame-Options. */
export interface RouteOverride {
  /** `false`: any Host may call this route. */
  readonly host?: false | undefined
  /** `false`: any site may call this route; for OAuth `form_post`, SAML and the like. */
  readonly origin?: false | undefined
  /** X-Frame-Options of this route, instead of the setting and of `frameAncestors`. */
  readonly frameOptions?: FrameOptions | undefined
}

/**
 * `config: { mlflowSecurity: … }` of a route; `false` for no protection at all. (`& object` refuses `true`. Fastify infers the type
 * of `config`, so only `satisfies RouteConfig` shows a misspelt key.)
 */
export type RouteConfig = false | (RouteOverride & object)

/**
 * The message of the diagnostics channel `fastify-mlflow-security.refused`, and the fields of the log line. Values of
 * the request are cut at 255 characters.
 */
export interface Refusal {
  readonly check: 'host' | 'origin'
  readonly code: Refused['code']
  readonly statusCode: 400 | 403
  /** Empty if the request names none. */
  readonly host: string
  readonly origin: string | undefined
  readonly method: string
  readonly url: string
  readonly remoteAddress: string | undefined
  /** True if the request went on all the same. */
  readonly reportOnly: boolean
}

declare module 'fastify' {
  interface FastifyInstance {
    mlflowSecurity: MlflowSecurity
  }

  interface FastifyContextConfig {
    mlflowSecurity?: RouteConfig | undefined
  }
}
