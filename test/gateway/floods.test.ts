// What must not pile up in memory, whoever sends it.
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { certificate, gateway, recorder, upstream } from '../fixtures/upstream.js'
import { socketServer } from '../fixtures/socket-server.js'
import { request } from '../fixtures/server.js'
import { settled, until } from '../fixtures/until.js'

/** HTTP/2's preface, empty SETTINGS, and HEADERS with a GET of / on localhost (RFC 9113 §3.4, RFC 7541 appendix A). */
const HTTP2_GET = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 14, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x01, 9]), Buffer.from('localhost')
])

for (const protocol of ['HTTP/1.1', 'HTTP/2']) {
  t.test(`${protocol}: interim answers without end do not pile up before a client that does not read`, async t => {
    const hint = `HTTP/1.1 103 Early Hints\r\nX-A: ${'a'.repeat(10_000)}\r\n\r\n`
    const size = 40_000_000
    let written = 0
    const target = await socketServer(t, async socket => {
      await once(socket, 'data')
      while (written < size) {
        written += hint.length
        if (!socket.write(hint)) await once(socket, 'drain')
      }
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfinished')
    })
    const { port } = await gateway(t, { upstream: target, ...(protocol === 'HTTP/2' ? { tls: certificate() } : {}) })
    const socket: Socket = protocol === 'HTTP/2'
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] })
      : connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.pause().write(protocol === 'HTTP/2' ? HTTP2_GET : 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await until(() => written >= size)
    let got = 0
    let end = ''
    socket.on('data', chunk => { got += chunk.length; end = `${end}${String(chunk)}`.slice(-100) }).resume()
    await until(() => end.includes('finished'))
    t.ok(got < size / 2, `${got} bytes`)
  })
}

t.test('an upstream that changes the protocol unasked is no interim answer: the client gets one answer', async t => {
  const upgrade = [['Connection', 'Upgrade'], ['Upgrade', 'websocket']] as const
  for (const [asked, named] of [[[], ''], [upgrade, ''], [[], 'Connection: Upgrade\r\nUpgrade: websocket\r\n']] as const) {
    const target = await socketServer(t, socket => { socket.once('data', () => { socket.write(`HTTP/1.1 101 Switching Protocols\r\n${named}\r\nx`) }) })
    const { port } = await gateway(t, { upstream: target })
    t.equal((await request(port, 'GET', '/', [['Host', 'localhost'], ...asked])).status, 502)
  }
})

function session (t: Test, port: number): ClientHttp2Session {
  const client = connectHttp2(`https://localhost:${port}`, { rejectUnauthorized: false })
  t.teardown(() => client.destroy())
  return client
}

t.test('HTTP/2: one client cannot open any number of connections to the upstream', async t => {
  let asked = 0
  const target = await upstream(t, () => { asked++ })
  const { port } = await gateway(t, { upstream: target, tls: certificate() })
  const client = session(t, port)
  for (let i = 0; i < 300; i++) client.request().on('error', () => {})
  await until(() => asked > 0)
  t.equal(await settled(() => asked), 250)
})

t.test('HTTP/2: headers have the limit that they have over HTTP/1.1', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener, { maxHeaderSize: 1 << 17 })
  const cookies = Array.from({ length: 180 }, (_, i) => `cookie${i}=1`)
  const cases = [[undefined, 16_000, 200], [undefined, 17_000, 431], [8192, 9000, 431], [65_536, 60_000, 200]] as const
  for (const [maxHeaderSize, length, status] of cases) {
    const fastify = maxHeaderSize === undefined ? {} : { http: { maxHeaderSize } }
    const { port } = await gateway(t, { upstream: target, tls: certificate(), fastify })
    const ask = async (headers: OutgoingHttpHeaders): Promise<[number | undefined, string]> => {
      const stream = session(t, port).request(headers).setEncoding('utf8')
      const [{ ':status': status }] = await once(stream, 'response')
      let body = ''
      for await (const chunk of stream) body += chunk
      return [status, body]
    }
    t.match(await ask({ 'x-a': 'a'.repeat(length) }), [status, status === 200 ? 'ok' : /HEADERS_TOO_LARGE/], `${length} bytes`)
    seen.length = 0
    t.equal((await ask({ cookie: cookies }))[0], 200)
    t.equal(seen[0]?.headers.cookie, cookies.join('; '))
  }
})
