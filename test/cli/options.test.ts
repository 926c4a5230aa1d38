import { parseArgs } from 'node:util'
import t from 'tap'
import { serveFlags } from '../../lib/cli/flags.js'
import { serveOptions } from '../../lib/cli/options.js'

t.test('what flags become', async t => {
  const serve = (...args: string[]) => serveOptions(parseArgs({ args, options: serveFlags }).values, { logger: false })
  t.match(serve(), { listen: { host: '127.0.0.1', port: 8080 }, metrics: undefined })
  for (const args of [['--metrics', '10.0.0.1:9'], ['--metrics', '[::1]:9'], ['--metrics', '10'], ['--host', '0.0.0.0', '--metrics', '[::1]:9']]) {
    t.doesNotThrow(() => serve('--port', '9', ...args), `${args.join(' ')} is another address`)
  }
  t.doesNotThrow(() => serve('--port', '0', '--metrics', '0'))
  t.strictSame(serve().options, {
    upstream: undefined,
    staticPrefix: undefined,
    callbackPaths: undefined,
    upstreamTimeout: undefined,
    upstreamCa: undefined,
    tls: undefined,
    fastify: { logger: false, keepAliveTimeout: 72_000 }
  })
  t.strictSame(serve('--callback-paths', '/a,/b', '--callback-paths', '/c').options.callbackPaths, ['/a,/b', '/c'])
  t.match(serve(), { certificate: undefined, drainDelay: 0, shutdownTimeout: 20_000 })
  t.match(serve('--drain-delay', '1.5', '--shutdown-timeout', '0'), { drainDelay: 1500, shutdownTimeout: 0 })
  t.match(serve('--keep-alive-timeout', '5', '--max-header-size', '65536').options.fastify, { keepAliveTimeout: 5000, http: { maxHeaderSize: 65536 } })
  for (const [args, routes] of [
    [['--health-routes', '/ready, /live'], ['/ready', '/live']],
    [['--health-routes', '/a', '--health-routes', '/b,'], ['/a', '/b']],
    [['--health-routes', ''], []],
    [['--health-routes', '/health,/ml/version,/mlx', '--static-prefix', '/ml'], ['/ml/health', '/ml/version', '/ml/mlx']]
  ] as const) t.strictSame(serve(...args).options.healthRoutes, routes)
  t.match(serve('--cors-allowed-origins', 'https://a', '--disable-security-middleware', '--x-frame-options', 'DENY').options, {
    corsAllowedOrigins: ['https://a'], disableSecurityMiddleware: true, xFrameOptions: 'DENY'
  })
  t.strictSame(serve('--trust-proxy', '10.0.0.1', '--trust-proxy', '127.0.0.0/8,loopback').options.fastify, { logger: false, trustProxy: '10.0.0.1,127.0.0.0/8,loopback', keepAliveTimeout: 72_000 })
  for (const [text, seconds] of [['0', 0], ['1.25', 1.25], ['60', 60]] as const) t.equal(serve('--upstream-timeout', text).options.upstreamTimeout, seconds)
  for (const text of ['x1', '1.', '.5', '1.x', '1x']) t.throws(() => serve('--upstream-timeout', text), { code: 'FST_MLFLOW_SECURITY_USAGE' }, text)
  for (const [text, port] of [['0', 0], ['65535', 65535]] as const) t.equal(serve('--port', text).listen.port, port)
  for (const text of ['x80', '80x', '655350', '65536', '']) t.throws(() => serve('--port', text), { message: /^--port: /, code: 'FST_MLFLOW_SECURITY_USAGE' }, text)
  for (const [text, host, port] of [['9464', '127.0.0.1', 9464], ['0.0.0.0:1', '0.0.0.0', 1], ['[::1]:2', '::1', 2], ['gw.company.com:3', 'gw.company.com', 3]] as const) {
    t.strictSame(serve('--metrics', text).metrics, { host, port })
  }
  for (const [text, host] of [['::', '::'], ['[::1]', '::1'], ['::1', '::1'], ['localhost', 'localhost']] as const) t.equal(serve('--host', text).listen.host, host)
})
