import fastifyEnv from '@fastify/env'
import t from 'tap'
import mlflowSecurity, { fastifyMlflowSecurity, mlflowSecuritySchema } from '../../lib/index.js'
import { DEFAULT_LISTS } from '../../lib/settings/default-lists.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import type { MlflowSecurityOptions, Settings } from '../../types/index.js'
import { createApp } from '../fixtures/server.js'

type Environment = Record<string, string | undefined>

const DEFAULTS: Settings = {
  allowedHosts: DEFAULT_LISTS.allowedHosts,
  corsAllowedOrigins: ['localhost:*'],
  xFrameOptions: 'SAMEORIGIN',
  disableSecurityMiddleware: false,
  reportOnly: false,
  healthRoutes: ['/health', '/version'],
  frameAncestors: [],
  cors: {}
}

/** Options as a JavaScript user or a command line may pass them, whatever the types say. */
const untyped = (options: Record<string, unknown>): MlflowSecurityOptions => options

t.test('the plugin is the default export, a named one, and what require() returns, with the schema', async t => {
  t.equal(fastifyMlflowSecurity, mlflowSecurity)
  t.equal(mlflowSecurity.mlflowSecuritySchema, mlflowSecuritySchema)
})

t.test('the defaults', async t => {
  t.same(resolveSettings({}, {}), DEFAULTS)
})

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
    ['@default', { allowedHosts: '@default,a' }, {}, { allowedHosts: [...DEFAULT_LISTS.allowedHosts, 'a'] }],
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

t.test('what is allowed for an option is told in full', async t => {
  for (const [option, allowed] of [
    ['allowedHosts', 'host names (mlflow.company.com, mlflow.internal:5000, *.company.com), IP addresses and ranges (192.168.1.100, 192.168.*, 10.0.0.0/8, ' +
      'fd00::/8), "@default" for the default list, "@addresses" for every IP address and "*" for every host; an array, or a string with commas'],
    ['corsAllowedOrigins', 'origins (https://app.company.com, https://*.company.com, http://localhost:*), "localhost:*", "@default" for the default list, ' +
      '"null" and "*" for every origin; an array, or a string with commas'],
    ['healthRoutes', 'route URLs as they are registered ("/health"); an array, or a string with commas'],
    ['frameAncestors', 'sites that may embed this one (https://notebook.company.com, https://*.company.com, http://localhost:*); an array, or a string ' +
      'with commas'],
    ['cors', 'an object with the @fastify/cors options methods, allowedHeaders, exposedHeaders, maxAge, cacheControl, optionsSuccessStatus, preflight, ' +
      'preflightContinue']
  ] as const) {
    let message = ''
    try { resolveSettings(untyped({ [option]: 5 }), {}) } catch (error) { message = String(error) }
    t.ok(message.endsWith(`: 5 has the wrong type. Allowed: ${allowed}.`), message)
  }
})

t.test('a wrong value stops the start: option and variable, the value, what is allowed, the fix', async t => {
  const cases: Array<[options: Record<string, unknown>, message: RegExp, environment?: Environment]> = [
    [{ allowedHosts: true },
      /^allowedHosts \(MLFLOW_SERVER_ALLOWED_HOSTS, --allowed-hosts\): true is a flag without a value\. Allowed: host names/],
    [{ allowedHosts: null }, /allowedHosts .*: null has the wrong type/],
    [{ allowedHosts: 5000 }, /allowedHosts .*: 5000 has the wrong type/],
    [{ allowedHosts: ['a', 5000] }, /allowedHosts .*: \["a",5000\] is wrong: 1 must be string/],
    [{ allowedHosts: '' }, /allowedHosts .*: "" is an empty list; leave it out for the default/],
    [{ allowedHosts: [] }, /allowedHosts .*: \[\] is an empty list/],
    [{}, /allowedHosts .*: " , " is an empty list/, { MLFLOW_SERVER_ALLOWED_HOSTS: ' , ' }],
    [{ allowedHosts: () => true }, /allowedHosts .*: .* has the wrong type/],
    [{ corsAllowedOrigins: false },
      /^corsAllowedOrigins \(MLFLOW_SERVER_CORS_ALLOWED_ORIGINS, --cors-allowed-origins\): false has the wrong type/],
    [{}, /^xFrameOptions \(MLFLOW_SERVER_X_FRAME_OPTIONS, --x-frame-options\): "SAME-ORIGIN" .*Did you mean "SAMEORIGIN"\?$/, { MLFLOW_SERVER_X_FRAME_OPTIONS: 'SAME-ORIGIN' }],
    [{ xFrameOptions: 'ALLOWALL' }, /^xFrameOptions .*"ALLOWALL" .*Did you mean "NONE"\?$/],
    [{ xFrameOptions: 'ALLOW-FROM https://a' }, /^xFrameOptions .*"ALLOW-FROM https:\/\/a" is not allowed.*Did you mean "frameAncestors: https:\/\/a"\?$/],
    [{ xFrameOptions: ' allow-from: https://a' }, /^xFrameOptions .*Did you mean "frameAncestors: https:\/\/a"\?$/],
    ...['x', 'DISALLOW', 'nosniff'].map((xFrameOptions): [Record<string, unknown>, RegExp] =>
      [{ xFrameOptions }, new RegExp(`^xFrameOptions .*"${xFrameOptions}" .*Allowed: "SAMEORIGIN", "DENY" or "NONE"\\.$`)]),
    [{ xFrameOptions: ['DENY', 'NONE'] }, /^xFrameOptions .*\["DENY","NONE"\] has the wrong type/],
    [{ xFrameOptions: '' }, /^xFrameOptions .*"" is empty/],
    [{}, /^disableSecurityMiddleware \(MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE, --disable-security-middleware\): "yes" .*Did you mean "true"\?$/, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: 'yes' }],
    [{ disableSecurityMiddleware: 'Off' }, /^disableSecurityMiddleware .*Did you mean "false"\?$/],
    [{ disableSecurityMiddleware: 'enable' }, /^disableSecurityMiddleware .*Did you mean "true"\?$/],
    [{ disableSecurityMiddleware: 'disable' }, /^disableSecurityMiddleware .*Did you mean "false"\?$/],
    ...['maybe', 'probably', 'on request', 'unknown', 'never'].map((disableSecurityMiddleware): [Record<string, unknown>, RegExp] =>
      [{ disableSecurityMiddleware }, new RegExp(`^disableSecurityMiddleware .*"${disableSecurityMiddleware}" .*Allowed: true or false\\.$`)]),
    [{ disableSecurityMiddleware: '' }, /^disableSecurityMiddleware .*"" is empty/],
    [{ reportOnly: ' ' }, /^reportOnly \(--report-only\): " " is empty/],
    [{ corsAllowedOrigins: [] }, /^corsAllowedOrigins \(MLFLOW_SERVER_CORS_ALLOWED_ORIGINS, .*: \[\] is an empty list/],
    [{ reportOnly: 1 }, /^reportOnly \(--report-only\): 1 has the wrong type/],
    [{ healthRoutes: 'health' }, /^healthRoutes \(--health-routes\): "health" is not a route URL.*Did you mean "\/health"\?$/],
    ...['*', '@default', 'http://a/health'].map((healthRoutes): [Record<string, unknown>, RegExp] => [{ healthRoutes }, /^healthRoutes .*is not a route URL.*with commas\.$/]),
    [{ frameAncestors: ' ' }, /^frameAncestors \(--frame-ancestors\): " " is an empty list/],
    [{ cors: true }, /^cors: true is a flag without a value/],
    [{ cors: { origin: '*' } }, /^cors: \{"origin":"\*"\} .*Allowed: an object with the @fastify\/cors options methods/],
    [{ cors: { credentials: true } }, /^cors: /],
    [{ cors: { hideOptionsRoute: true } }, /^cors: .*is not allowed/],
    [{ cors: { logLevel: 'silent' } }, /^cors: .*is not allowed/],
    [{ cors: { exposedHeaders: 'a\r\nb' } }, /^cors: .*exposedHeaders must match pattern/],
    ...['etag\n', '\u00a0etag', 'etag,\u2028a'].map((exposedHeaders): [Record<string, unknown>, RegExp] =>
      [{ cors: { exposedHeaders } }, /^cors: .*exposedHeaders must match pattern/]), // Node would answer 500 to each request
    [{ cors: { allowedHeaders: ['a\nb'] } }, /^cors: .*allowedHeaders\.0 must match pattern/],
    [{ cors: { cacheControl: 'a\nb' } }, /^cors: .*cacheControl must match pattern/],
    [{ cors: { methods: [] } }, /^cors: .*methods must NOT have fewer than 1 items/],
    [{ cors: { methods: '' } }, /^cors: /],
    [{ cors: { maxAge: '600' } }, /^cors: .*is wrong: maxAge must be integer/]
  ]
  for (const [options, message, environment = {}] of cases) {
    t.throws(() => resolveSettings(untyped(options), environment), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message }, String(message))
  }
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

t.test('an error inside env-schema that is none of the value is passed on', async t => {
  for (const error of [new Error('getter'), Object.assign(new Error('validation of another'), { errors: [{ instancePath: '/PORT' }] })]) {
    const options = { cors: { get maxAge (): number { throw error } } }
    t.throws(() => resolveSettings(options, {}), error, error.message)
  }
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

t.test('a wrong value that comes by @fastify/env is told as any other: what is allowed, and no pattern', async t => {
  for (const [variable, value, message] of [
    ['MLFLOW_SERVER_X_FRAME_OPTIONS', 'sameorigins', /^xFrameOptions \(MLFLOW_SERVER_X_FRAME_OPTIONS, .*"sameorigins" is not allowed\. Allowed: "SAMEORIGIN", "DENY" or "NONE"\. Did you mean "SAMEORIGIN"\?$/],
    ['MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE', 'yes', /^disableSecurityMiddleware .*"yes" is not allowed\. Allowed: true or false\. Did you mean "true"\?$/]
  ] as const) {
    const { app } = createApp(t)
    await app.register(fastifyEnv, { schema: structuredClone(mlflowSecuritySchema), data: { [variable]: value } })
    await t.rejects(async () => app.register(mlflowSecurity, app.getDecorator<Record<string, unknown>>('config')), {
      code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message
    })
  }
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
