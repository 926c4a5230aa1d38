// Type tests: `npm run typecheck` compiles them; nothing runs them.
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import Fastify from 'fastify'
import mlflowSecurity, { fastifyMlflowSecurity, mlflowSecuritySchema } from '../lib/index.js'
import type { MlflowSecurityOptions, Refusal, Refused, RouteConfig, Settings, Verdict } from '../lib/index.js'

const app = Fastify()

app.register(mlflowSecurity)
app.register(fastifyMlflowSecurity, {})
app.register(mlflowSecurity, {
  allowedHosts: ['mlflow.company.com'] as const,
  corsAllowedOrigins: 'https://app.company.com',
  xFrameOptions: 'DENY',
  disableSecurityMiddleware: 'false',
  reportOnly: true,
  healthRoutes: ['/health'],
  frameAncestors: 'https://notebook.company.com',
  cors: { maxAge: 600, exposedHeaders: ['etag'] },
  MLFLOW_SERVER_ALLOWED_HOSTS: 'mlflow.company.com'
})
// As the arguments of a fastify-cli app, and the configuration of @fastify/env.
app.register(mlflowSecurity, { allowedHosts: process.env.HOSTS })
const config: { PORT: number, MLFLOW_SERVER_ALLOWED_HOSTS: string } = { PORT: 3000, MLFLOW_SERVER_ALLOWED_HOSTS: 'a' }
app.register(mlflowSecurity, config)

// @ts-expect-error an unknown option
app.register(mlflowSecurity, { allowedHost: 'a' })
// @ts-expect-error a wrong value
app.register(mlflowSecurity, { xFrameOptions: 'ALLOWALL' })
// @ts-expect-error the plugin decides on origins
app.register(mlflowSecurity, { cors: { origin: '*' } })
// @ts-expect-error a wrong type
app.register(mlflowSecurity, { allowedHosts: 5000 })

app.get('/override', { config: { mlflowSecurity: { host: false, origin: false, frameOptions: 'NONE' } } }, () => '')
app.get('/off', { config: { mlflowSecurity: false } }, () => '')
// @ts-expect-error only false switches a check off
app.get('/wrong', { config: { mlflowSecurity: { host: true } } }, () => '')
// @ts-expect-error there is nothing to switch on
app.get('/on', { config: { mlflowSecurity: true } }, () => '')
// @ts-expect-error a text
app.get('/text', { config: { mlflowSecurity: 'off' } }, () => '')
app.get('/nothing', { config: { mlflowSecurity: {} } }, () => '')
app.get('/known', { config: { mlflowSecurity: { origin: false } satisfies RouteConfig } }, () => '')
// @ts-expect-error a misspelt key
app.get('/misspelt', { config: { mlflowSecurity: { orgin: false } satisfies RouteConfig } }, () => '')
// @ts-expect-error an unknown key
const unknown: RouteConfig = { hosts: false }
// @ts-expect-error no such value
const wrong: RouteConfig = { frameOptions: 'ALLOW' }

export function settings (): Settings {
  const { settings } = app.mlflowSecurity
  // @ts-expect-error the settings are read-only
  settings.reportOnly = true
  // @ts-expect-error and so are their lists
  settings.allowedHosts.push('a')
  return settings
}

export function explain (request: IncomingMessage | Http2ServerRequest): string {
  const verdict: Verdict = app.mlflowSecurity.inspect(request)
  if (verdict.allowed) {
    // @ts-expect-error an allowed request has no code
    return verdict.code ?? verdict.rule
  }
  const refused: Refused = verdict
  switch (refused.code) {
    case 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED': {
      const status: 403 = refused.statusCode
      const setting: 'allowedHosts' = refused.setting
      return `${status} ${setting} ${refused.entry.toUpperCase()} ${refused.value}`
    }
    case 'FST_MLFLOW_SECURITY_HOST_MALFORMED': {
      const status: 400 = refused.statusCode
      const entry: undefined = refused.entry
      return `${status} ${entry}`
    }
    case 'FST_MLFLOW_SECURITY_CROSS_ORIGIN': {
      const setting: 'corsAllowedOrigins' | 'allowedHosts' | undefined = refused.setting
      return `${setting} ${refused.entry} ${refused.message}`
    }
  }
}

export const schema: object = { type: 'object', properties: { PORT: { type: 'number' }, ...mlflowSecuritySchema.properties } }
export const refusal: Refusal = {
  check: 'host',
  code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED',
  statusCode: 403,
  host: 'a',
  origin: undefined,
  method: 'GET',
  url: '/',
  remoteAddress: undefined,
  reportOnly: false
}
export const options: MlflowSecurityOptions = wrong === unknown ? {} : { reportOnly: false }
