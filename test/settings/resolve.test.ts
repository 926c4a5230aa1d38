import fastifyEnv from '@fastify/env'
import t from 'tap'
import mlflowSecurity, { fastifyMlflowSecurity, mlflowSecuritySchema } from '../../lib/index.js'
import { settingsTable } from '../../lib/settings/table.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import type { MlflowSecurityOptions, Settings } from '../../types/index.js'
import { createApp } from '../fixtures/server.js'
import { untyped } from '../fixtures/untyped.js'

t.test('the plugin is the default export, a named one, and what require() returns, with the schema', async t => {
  t.equal(fastifyMlflowSecurity, mlflowSecurity)
  t.equal(mlflowSecurity.mlflowSecuritySchema, mlflowSecuritySchema)
})

const DEFAULTS: Settings = {
  allowedHosts: settingsTable.allowedHosts.default,
  corsAllowedOrigins: ['localhost:*'],
  xFrameOptions: 'SAMEORIGIN',
  disableSecurityMiddleware: false,
  reportOnly: false,
  healthRoutes: ['/health', '/version'],
  frameAncestors: [],
  cors: {}
}

t.test('the defaults', async t => {
  t.same(resolveSettings({}, {}), DEFAULTS)
})

type Environment = Record<string, string | undefined>

t.test('settings by option, by documented variable, as an option by that name', async t => {
  const cases: Array<[name: string, options: MlflowSecurityOptions, environment: Environment, expected: Partial<Settings>]> = [
    ['string', { allowedHosts: 'a,b' }, {}, { allowedHosts: ['a', 'b'] }],
    ['array', { allowedHosts: ['a', 'b'] }, {}, { allowedHosts: ['a', 'b'] }],
    ['array of lists, as a repeated flag', { allowedHosts: ['a , b', ' c,,'] }, {}, { allowedHosts: ['a', 'b', 'c'] }],
    ['variable', {}, { MLFLOW_SERVER_ALLOWED_HOSTS: ' a , b ' }, { allowedHosts: ['a', 'b'] }],
    ['option before variable', { allowedHosts: 'a' }, { MLFLOW_SERVER_ALLOWED_HOSTS: 'b' }, { allowedHosts: ['a'] }],
    ['undefined is unset', { allowedHosts: undefined }, { MLFLOW_SERVER_ALLOWED_HOSTS: 'b' }, { allowedHosts: ['b'] }],
    ['empty variable is unset', {}, { MLFLOW_SERVER_ALLOWED_HOSTS: '', MLFLOW_SERVER_X_FRAME_OPTIONS: '', MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: '' }, {}],
    ['variable as an option', { MLFLOW_SERVER_ALLOWED_HOSTS: 'a' }, { MLFLOW_SERVER_ALLOWED_HOSTS: 'b' }, { allowedHosts: ['a'] }],
    ['option before variable as an option', { allowedHosts: 'a', MLFLOW_SERVER_ALLOWED_HOSTS: 'b' }, {}, { allowedHosts: ['a'] }],
    ['empty variable as an option', { MLFLOW_SERVER_ALLOWED_HOSTS: '' }, { MLFLOW_SERVER_ALLOWED_HOSTS: 'b' }, { allowedHosts: ['b'] }],
    ['@default', { allowedHosts: '@default,a' }, {}, { allowedHosts: [...settingsTable.allowedHosts.default, 'a'] }],
    ['@default of origins', { corsAllowedOrigins: ['https://a', '@default'] }, {}, { corsAllowedOrigins: ['https://a', 'localhost:*'] }],
    ['origins by variable', {}, { MLFLOW_SERVER_CORS_ALLOWED_ORIGINS: 'https://a,https://b' }, { corsAllowedOrigins: ['https://a', 'https://b'] }],
    ['frames', { xFrameOptions: 'DENY' }, { MLFLOW_SERVER_X_FRAME_OPTIONS: 'NONE' }, { xFrameOptions: 'DENY' }],
    ['frames in any case', {}, { MLFLOW_SERVER_X_FRAME_OPTIONS: ' SameOrigin ' }, { xFrameOptions: 'SAMEORIGIN' }],
    ['frames off', {}, { MLFLOW_SERVER_X_FRAME_OPTIONS: 'none' }, { xFrameOptions: 'NONE' }],
    ['switch', { disableSecurityMiddleware: true }, {}, { disableSecurityMiddleware: true }],
    ['switch by option before variable', { disableSecurityMiddleware: false }, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: 'true' }, {}],
    ...['true', 'TRUE', 'True', ' true ', '1'].map((value): [string, MlflowSecurityOptions, Environment, Partial<Settings>] =>
      [`switch by ${value}`, {}, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: value }, { disableSecurityMiddleware: true }]),
    ...['false', 'FALSE', '0'].map((value): [string, MlflowSecurityOptions, Environment, Partial<Settings>] =>
      [`switch by ${value}`, {}, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: value }, {}]),
    ['report only, as a flag with a value', { reportOnly: 'true' }, {}, { reportOnly: true }],
    ['health routes', { healthRoutes: '/ping, /ready' }, {}, { healthRoutes: ['/ping', '/ready'] }],
    ['no health routes', { healthRoutes: [] }, {}, { healthRoutes: [] }],
    ['frame ancestors', { frameAncestors: 'https://a,https://b' }, {}, { frameAncestors: ['https://a', 'https://b'] }],
    ['@default of frame ancestors, which have none: the entry stays, to be refused', { frameAncestors: '@default' }, {}, { frameAncestors: ['@default'] }],
    ['cors', { cors: { maxAge: 600, exposedHeaders: ['etag'] } }, {}, { cors: { maxAge: 600, exposedHeaders: ['etag'] } }],
    ['cors, undefined is unset', untyped({ cors: { maxAge: undefined, preflight: undefined, methods: 'GET, PUT' } }), {}, { cors: { methods: 'GET, PUT' } }],
    ["the app's own configuration", untyped({ PORT: 3000, DATABASE_URL: 'x', CORS: 'x', ALLOWED_HOSTS: 'x', MLFLOW_SERVER_ALLOWED_HOSTS: 'a' }), {}, { allowedHosts: ['a'] }]
  ]
  for (const [name, options, environment, expected] of cases) {
    t.strictSame(resolveSettings(options, environment), { ...DEFAULTS, ...expected }, name)
  }
})

t.test('the environment is the one that is given, and not read besides', async t => {
  t.intercept(process, 'env', { value: { ...process.env, MLFLOW_SERVER_ALLOWED_HOSTS: '', MLFLOW_SERVER_X_FRAME_OPTIONS: 'DENY' } })
  t.same(resolveSettings({}, {}), DEFAULTS)
  t.same(resolveSettings({}, process.env), { ...DEFAULTS, xFrameOptions: 'DENY' })
})

t.test('an unknown option stops the start', async t => {
  const cases: Array<[name: string, meant?: string]> = [
    ['allowedHost', 'allowedHosts'], ['allowed-hosts', 'allowedHosts'], ['corsAllowedOrigin', 'corsAllowedOrigins'],
    ['AllowedHosts', 'allowedHosts'], ['allowedHOSTS', 'allowedHosts'], ['MLFLOW_SERVER_ALLOWED_HOST', 'MLFLOW_SERVER_ALLOWED_HOSTS'], ['hosts'], ['prefixes'],
    ['alowedHosts', 'allowedHosts'], ['MLFLOW_SERVER_ALOWED_HOSTS', 'MLFLOW_SERVER_ALLOWED_HOSTS']
  ]
  for (const [name, meant] of cases) {
    const fix = meant === undefined ? '' : ` Did you mean "${meant}"\\?`
    const allowed = 'Allowed: allowedHosts, .*, cors, and .* MLFLOW_SERVER_ALLOWED_HOSTS, .*capitals are left alone'
    const message = new RegExp(`^Unknown option "${name}"\\.${fix} ${allowed}`)
    t.throws(() => resolveSettings(untyped({ [name]: 'a' }), {}), { code: 'FST_MLFLOW_SECURITY_UNKNOWN_OPTION', message }, name)
  }
})

t.test("the settings are frozen, and the caller's objects stay as they are", async t => {
  const options = { allowedHosts: ['a,b'], healthRoutes: ['/x'], cors: { maxAge: 1 } }
  const environment = { MLFLOW_SERVER_CORS_ALLOWED_ORIGINS: 'https://a', OTHER: 'x' }
  const before = structuredClone({ options, environment })
  const schema = structuredClone(mlflowSecuritySchema)
  const settings = resolveSettings(options, environment)
  t.same({ options, environment }, before)
  t.same(mlflowSecuritySchema, schema)
  for (const value of Object.values(settings)) if (typeof value === 'object') t.ok(Object.isFrozen(value))
  t.ok(Object.isFrozen(settings))
})

t.test('nothing is half-applied: a wrong entry leaves no trace on the server', async t => {
  const { app } = createApp(t)
  await t.rejects(async () => app.register(mlflowSecurity, { allowedHosts: 'a', frameAncestors: 'b' }), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' })
  t.notOk(app.hasDecorator('mlflowSecurity'))
  t.notOk(app.hasRequestDecorator('corsPreflightEnabled'))
})

t.test('the schema merges into that of an app which uses @fastify/env', async t => {
  const { app } = createApp(t)
  const data = { PORT: '3000', MLFLOW_SERVER_ALLOWED_HOSTS: 'mlflow.company.com', MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: 'False', MLFLOW_SERVER_X_FRAME_OPTIONS: '' }
  await app.register(fastifyEnv, {
    schema: { type: 'object', required: ['PORT'], properties: { PORT: { type: 'number' }, ...mlflowSecuritySchema.properties } },
    data
  })
  await app.register(mlflowSecurity, app.getDecorator<Record<string, unknown>>('config'))
  t.match(app.mlflowSecurity.settings, { allowedHosts: ['mlflow.company.com'], disableSecurityMiddleware: false, xFrameOptions: 'SAMEORIGIN' })
})

t.test('settings are frozen all the way down, and nothing of the caller is kept', async t => {
  const methods = ['GET']
  const cors = { methods, exposedHeaders: ['etag'] }
  const allowedHosts = ['localhost']
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { cors, allowedHosts, corsAllowedOrigins: 'https://a' })
  app.post('/', async () => 'ok')
  methods.push('x y')
  cors.exposedHeaders.length = 0
  allowedHosts.push('evil.com')
  const answer = await app.inject({ method: 'OPTIONS', url: '/', headers: { host: 'localhost', origin: 'https://a', 'access-control-request-method': 'POST' } })
  t.match(answer, { statusCode: 204, headers: { 'access-control-allow-methods': 'GET', 'access-control-expose-headers': 'etag' } })
  t.equal((await app.inject({ url: '/', headers: { host: 'evil.com' } })).statusCode, 403)
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    t.ok(Object.isFrozen(value))
    for (const inner of Object.values(value)) visit(inner)
  }
  visit(app.mlflowSecurity.settings)
  t.notOk(Object.isFrozen(methods), "the caller's own array is left alone")
})
