import t from 'tap'
import mlflowGateway, { createGateway } from '../../lib/gateway.js'
import type { GatewayOptions } from '../../lib/gateway.js'
import { resolveGatewayOptions } from '../../lib/gateway/options.js'
import mlflowSecurity from '../../lib/index.js'
import { createApp, request } from '../fixtures/server.js'
import { gateway, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('a wrong setting is said before anything listens', async t => {
  const cases: Array<[options: Parameters<typeof createGateway>[0], message: RegExp]> = [
    [undefined, /^upstream \(MLFLOW_TRACKING_URI, --upstream\) is missing\. It is the URL/],
    [{ upstream: '127.0.0.1:5000' }, /is not an http or https URL.*Did you mean "http:\/\/127\.0\.0\.1:5000"\?$/],
    [{ upstream: 'localhost:5000/x' }, /Did you mean "http:\/\/localhost:5000\/x"\?$/],
    [{ upstream: 'sqlite:///m.db' }, /is not an http or https URL\. Allowed: .*path\.$/],
    [{ upstream: 'http://127.0.0.1:0' }, /"http:\/\/127\.0\.0\.1:0" has port 0, on which no server can be reached\./],
    [{ upstream: 'databricks' }, /Did you mean "http:\/\/databricks"\?$/],
    [{ upstream: 'http://user:pass@host:1/' }, /^upstream[^:]*: "http:\/\/\*\*\*@host:1" contains credentials.*Did you mean "http:\/\/host:1"\?$/],
    [{ upstream: 'http://user@host' }, /contains credentials/],
    [{ upstream: 'http://:pass@host' }, /contains credentials/],
    [{ upstream: 'host:80/a/b' }, /Did you mean "http:\/\/host:80\/a\/b"\?$/],
    [{ upstream: 'http://host/a?b' }, /has a query or a fragment.*Did you mean "http:\/\/host\/a"\?$/],
    [{ upstream: 'http://host/#b' }, /has a query or a fragment/],
    [{ upstream: 'http://a', staticPrefix: 'mlflow/' }, /^staticPrefix \(--static-prefix\): "mlflow\/" is not a valid path.*Did you mean "\/mlflow"\?$/],
    [{ upstream: 'http://a', staticPrefix: '/' }, /"\/" is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '/a/%2' }, /is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '/a/%E9' }, /is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '/a/%2e%2E' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: '/a%2f./b' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: 'a%40b' }, /Did you mean "\/a%40b"\?$/],
    [{ upstream: 'http://a', staticPrefix: 'a b/' }, /is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '//mlflow//' }, /Did you mean "\/mlflow"\?$/],
    [{ upstream: 'http://a', staticPrefix: '//' }, /"\/\/" is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: 'x/mlflow' }, /Did you mean "\/x\/mlflow"\?$/],
    [{ upstream: 'http://a', staticPrefix: '/a/..' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: '/./a' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: '/a?b' }, /is not a valid path/],
    [{ upstream: 'http://a', upstreamTimeout: 86_401 }, /86401 is not a valid number/],
    [{ upstream: 'http://a', upstreamTimeout: -1 }, /^upstreamTimeout \(--upstream-timeout\): -1 is not a valid number\. Allowed: seconds/],
    [{ upstream: 'http://a', upstreamTimeout: NaN }, /is not a valid number/],
    [{ upstream: 'http://a', ...JSON.parse('{ "before": "x" }') }, /^before: "x" is not a function\. Allowed: a function that takes the app/],
    [{ upstream: 'http://a', ...JSON.parse('{ "fastify": "x" }') }, /^fastify: "x" is not an object\. Allowed: an object/],
    [{ upstream: 'http://a', ...JSON.parse('{ "fastify": null }') }, /^fastify: null is not an object/],
    [{ upstream: 'http://a', ...JSON.parse('{ "tls": null }') }, /^tls \(--cert, --key\): \[\] has no cert or no key\./],
    [{ upstream: 'http://a', ...JSON.parse('{ "tls": "x" }') }, /has no cert or no key/],
    [{ upstream: 'http://a', tls: {} }, /^tls \(--cert, --key\): \[\] has no cert or no key\. Allowed: an object with cert and key in PEM\.$/],
    [{ upstream: 'http://a', tls: { cert: '', key: 'secret' } }, /^tls \(--cert, --key\): \["cert","key"\] has no cert or no key/],
    [{ upstream: 'http://a', tls: { cert: 'x' } }, /has no cert or no key/],
    [{ upstream: 'http://a', fastify: { trustProxy: 'foo' } }, /^trustProxy \(--trust-proxy\): "foo" has an invalid IP address: foo\. Allowed: addresses and ranges of the proxies in front \(127\.0\.0\.1, 10\.0\.0\.0\/8\), loopback, linklocal, uniquelocal\.$/],
    [{ upstream: 'http://a', fastify: { trustProxy: '10.0.0.0/99' } }, /invalid range/]
  ]
  for (const [options, message] of cases) t.throws(() => createGateway(options), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message })
  t.throws(() => createGateway({ upstream: 'http://a', fastify: { bodyLimit: 0.5 } }), { code: 'FST_ERR_ROUTE_BODY_LIMIT_OPTION_NOT_INT' }, 'Fastify\'s own as they are')
  const app = createGateway({ upstream: 'http://a', allowedHosts: 'https://x' })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' })
})

t.test('what the options of the gateway become', async t => {
  t.match(resolveGatewayOptions({ upstream: 'https://MLflow.internal:443/base//', staticPrefix: '/a/b', upstreamTimeout: 86_400, xFrameOptions: 'DENY' }, {}), {
    upstream: { origin: 'https://mlflow.internal', host: 'mlflow.internal', path: /^\/base$/, headersTimeout: 86_400_000 },
    staticPrefix: '/a/b',
    security: { healthRoutes: ['/a/b/health', '/a/b/version'], xFrameOptions: 'DENY' }
  })
  t.match(resolveGatewayOptions({ upstreamTimeout: 0.0001 }, { MLFLOW_TRACKING_URI: 'http://a:5000' }), {
    upstream: { origin: 'http://a:5000', path: '', headersTimeout: 1 }, staticPrefix: ''
  })
})

t.test('MLFLOW_TRACKING_URI names the upstream', async t => {
  const { seen, listener } = recorder()
  process.env.MLFLOW_TRACKING_URI = await upstream(t, listener)
  t.teardown(() => { delete process.env.MLFLOW_TRACKING_URI })
  const { port } = await gateway(t, {})
  await request(port, 'GET', '/x', [HOST])
  t.equal(seen.length, 1)
})

t.test('settings of the checks are given once', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  await t.rejects(Promise.resolve(app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1', allowedHosts: 'a.com' })), {
    code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message: /^allowedHosts: "a\.com" would do nothing\. Allowed: nothing here/
  })
  const { app: other } = createApp(t)
  await other.register(mlflowSecurity)
  await other.register(mlflowGateway, { upstream: 'http://127.0.0.1:1', allowedHosts: undefined, logLevel: 'info' })
  t.ok(other.mlflowSecurity)
})

t.test('what only createGateway takes is refused in an app: a login in `before` would be missing', async t => {
  for (const [options, message] of [
    [{ before: () => {} }, /^before: .* would do nothing\. Allowed: only with createGateway\. In your own app, register logins/],
    [{ fastify: { trustProxy: true } }, /^fastify: \["trustProxy"\] would do nothing\. .*Fastify\(\) itself\.$/],
    [{ tls: { cert: 'secret', key: 'secret' } }, /^tls: \["cert","key"\] would do nothing/]
  ] as const) {
    for (const isRegistered of [false, true]) {
      const { app } = createApp(t)
      if (isRegistered) await app.register(mlflowSecurity)
      await t.rejects(Promise.resolve(app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1', ...options })), {
        code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message
      })
    }
  }
  const { app } = createApp(t)
  const nothing: GatewayOptions = { upstream: 'http://127.0.0.1:1', before: undefined, fastify: undefined, tls: undefined }
  await app.register(mlflowGateway, nothing)
  t.ok(app.hasDecorator('mlflowSecurity'))
})

t.test('an unknown option of the gateway says which one was meant', async t => {
  for (const [name, said] of [
    ['upstreamTimeOut', /^Unknown option "upstreamTimeOut"\. Did you mean "upstreamTimeout"\? Allowed: upstream, staticPrefix, upstreamTimeout, upstreamCa, callbackPaths, before, fastify, tls, allowedHosts, /],
    ['staticprefix', /Did you mean "staticPrefix"/], ['callbackpaths', /Did you mean "callbackPaths"/], ['upstreams', /Did you mean "upstream"/],
    ['allowedHost', /Did you mean "allowedHosts"/], ['nonsense', /^Unknown option "nonsense"\. Allowed: upstream, /],
    ['trustProxy', /^Unknown option "trustProxy"\. It is an option of the Fastify app\. Write createGateway\(\{ fastify: \{ trustProxy: … \} \}\)/],
    ['logger', /createGateway\(\{ fastify: \{ logger: … \} \}\)/]
  ] as const) {
    const options = { upstream: 'http://127.0.0.1:1', [name]: true }
    const expected = { code: 'FST_MLFLOW_SECURITY_UNKNOWN_OPTION', message: said }
    t.throws(() => createGateway(options), expected, name)
    const { app } = createApp(t)
    await app.register(mlflowSecurity)
    await t.rejects(Promise.resolve(app.register(mlflowGateway, options)), expected, `${name} in an app`)
  }
})
