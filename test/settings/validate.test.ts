import fastifyEnv from '@fastify/env'
import t from 'tap'
import mlflowSecurity, { mlflowSecuritySchema } from '../../lib/index.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import { createApp } from '../fixtures/server.js'
import { untyped } from '../fixtures/untyped.js'

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

type Environment = Record<string, string | undefined>

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

t.test('an error inside env-schema that is none of the value is passed on', async t => {
  for (const error of [new Error('getter'), Object.assign(new Error('validation of another'), { errors: [{ instancePath: '/PORT' }] })]) {
    const options = { cors: { get maxAge (): number { throw error } } }
    t.throws(() => resolveSettings(options, {}), error, error.message)
  }
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
