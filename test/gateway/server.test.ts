// The server below a gateway: its options, its end, and what is registered too late.
import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import t from 'tap'
import mlflowGateway, { createGateway } from '../../lib/gateway.js'
import { createApp, listen, request } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'
import { certificate, gateway, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('options of Node\'s server pass', async t => {
  const target = await upstream(t, (_request, response) => { response.end('ok') }, { maxHeaderSize: 65536 })
  const headers = [HOST, ['X-Long', 'a'.repeat(30_000)]] as const
  const { port } = await gateway(t, { upstream: target })
  t.equal((await request(port, 'GET', '/', headers)).status, 431)
  const roomy = await gateway(t, { upstream: target, fastify: { http: { maxHeaderSize: 65536 } } })
  t.equal((await request(roomy.port, 'GET', '/', headers)).status, 200)
})

t.test('what is registered after the gateway is refused, hooks are not', async t => {
  const { app } = createApp(t)
  await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
  await app.register(rateLimit, { max: 1 })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_MLFLOW_SECURITY_GATEWAY_NOT_LAST', message: /^"@fastify\/rate-limit" is registered after the gateway.*createGateway\(\{ before:/ })

  const made = createGateway({ upstream: 'http://127.0.0.1:1' })
  t.teardown(() => made.close())
  made.register(rateLimit, { max: 1 })
  await t.rejects(Promise.resolve(made.ready()), { code: 'FST_MLFLOW_SECURITY_GATEWAY_NOT_LAST' })

  const { listener } = recorder()
  const limited = createGateway({ upstream: await upstream(t, listener), before: app => app.register(rateLimit, { max: 1 }) })
  t.teardown(() => limited.close())
  const port = await listen(limited)
  t.strictSame([(await request(port, 'GET', '/', [HOST])).status, (await request(port, 'GET', '/', [HOST])).status], [200, 429])

  const nested = Fastify()
  t.teardown(() => nested.close())
  nested.register(async app => { await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' }) })
  nested.register(async () => {})
  await nested.ready()
  t.ok(nested.hasDecorator('mlflowSecurity'), 'in a plugin of its own, as fastify-cli registers it')
})

t.test('an app that lacks what a gateway needs is told so', async t => {
  const options = async (server: object) => {
    const { app, lines } = createApp(t, server)
    await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
    await app.ready()
    return lines.filter(({ level, option }) => level === 40 && option !== 'http.shouldUpgradeCallback').map(({ option }) => option)
  }
  t.strictSame(await options({}), [])
  t.strictSame(await options({ requestTimeout: 1000, connectionTimeout: 1000, handlerTimeout: 1000 }), ['requestTimeout', 'connectionTimeout', 'handlerTimeout'])
  const wider = { caseSensitive: false, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, useSemicolonDelimiter: true }
  for (const server of [wider, { routerOptions: wider }]) t.strictSame(await options(server), Object.keys(wider))
  t.strictSame(await options({ ignoreTrailingSlash: true, routerOptions: { caseSensitive: false } }), ['caseSensitive', 'ignoreTrailingSlash'], 'Fastify mixes the forms')
  t.strictSame(await options({ routerOptions: { caseSensitive: true, maxParamLength: 5000 } }), [])
  const tls = certificate()
  t.strictSame(await options({ http2: true, https: { allowHTTP1: true, ...tls } }), ['server.requestTimeout'], 'Fastify sets it for HTTP/1.1 alone')
  for (const more of [{}, { tls }]) {
    const { lines } = await gateway(t, { upstream: 'http://127.0.0.1:1', ...more })
    t.notOk(lines.some(({ level }) => level === 40), 'createGateway lacks nothing')
  }
})

t.test('a server with a certificate has the time limits of one without', async t => {
  for (const more of [{}, { tls: certificate() }]) {
    const app = createGateway({ upstream: 'http://127.0.0.1:1', fastify: { logger: false, keepAliveTimeout: 5000 }, ...more })
    t.teardown(() => app.close())
    t.match(app.server, { requestTimeout: 0, keepAliveTimeout: 5000 })
  }
})

t.test('an answer that has begun when the gateway closes is its connection\'s last, with and without TLS', async t => {
  for (const isSecure of [false, true]) {
    let end = (): void => {}
    const target = await upstream(t, (_request, response) => { response.write('begun '); end = () => { response.end('ended') } })
    const tls = isSecure ? await certificate() : undefined
    const app = createGateway({ upstream: target, tls })
    t.teardown(() => app.close())
    const port = await listen(app)
    const socket = tls === undefined ? connect(port, '127.0.0.1') : connectTls({ port, host: '127.0.0.1', ca: tls.cert })
    let text = ''
    socket.setEncoding('latin1').on('data', chunk => { text += chunk })
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    while (!text.includes('begun')) await once(socket, 'data')
    const closed = app.close()
    await until(() => !app.server.listening)
    const begun = Date.now()
    end()
    await Promise.all([closed, once(socket, 'close')])
    t.match(text, /ended\r\n0\r\n\r\n$/)
    t.ok(Date.now() - begun < 5000, `${Date.now() - begun} ms, not its keep-alive time`)
  }
})
