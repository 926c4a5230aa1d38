// The server below a gateway: its options and its end.
import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { createGateway } from '../../lib/gateway.js'
import { listen, request } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'
import { certificate, gateway, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('options of Node\'s server pass', async t => {
  const target = await upstream(t, (_request, response) => { response.end('ok') }, { maxHeaderSize: 65536 })
  const headers = [HOST, ['X-Long', 'a'.repeat(30_000)]] as const
  const { port } = await gateway(t, { upstream: target })
  t.equal((await request(port, 'GET', '/', headers)).status, 431)
  const roomy = await gateway(t, { upstream: target, fastify: { http: { maxHeaderSize: 65536 } } })
  t.equal((await request(roomy.port, 'GET', '/', headers)).status, 200)
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
