// How answers are written: heads, bodies, interim answers and trailers.
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { askHttp2, secure } from '../fixtures/http2.js'
import { get, request, send } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'
import { certificate, gateway, socketServer, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('answers without a body, ranges, compressed and conditional ones pass untouched', async t => {
  const zipped = gzipSync('x'.repeat(10_000))
  const target = await upstream(t, ({ url, headers, method }, response) => {
    switch (url) {
      case '/204': return response.writeHead(204).end()
      case '/304': return response.writeHead(headers['if-none-match'] === '"e"' ? 304 : 200, { etag: '"e"' }).end()
      case '/range': return response.writeHead(206, { 'content-range': `${headers.range}/9`, 'accept-ranges': 'bytes', 'content-length': '3' }).end('abc')
      case '/zipped': return response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': zipped.length }).end(zipped)
      case '/head': return response.writeHead(200, { 'content-length': '5000', 'content-type': 'text/csv' }).end(method)
      case '/503': return response.writeHead(503, { 'retry-after': '1' }).end('busy')
      default: return response.writeHead(418, 'Short and stout', { 'content-type': 'application/problem+json' }).end('{"detail":1}')
    }
  })
  const { port } = await gateway(t, { upstream: target })
  t.match(await request(port, 'GET', '/204', [HOST]), { status: 204, body: '' })
  t.match(await request(port, 'GET', '/304', [HOST, ['If-None-Match', '"e"']]), { status: 304, headers: { etag: '"e"' }, body: '' })
  t.match(await request(port, 'GET', '/range', [HOST, ['Range', 'bytes=1-3']]), {
    status: 206, headers: { 'content-range': 'bytes=1-3/9', 'content-length': '3' }, body: 'abc'
  })
  const answer = await request(port, 'GET', '/zipped', [HOST, ['Accept-Encoding', 'gzip']])
  t.match(answer.headers, { 'content-encoding': 'gzip', 'content-length': String(zipped.length) })
  t.equal(answer.body, zipped.toString('latin1'))
  t.match(await request(port, 'HEAD', '/head', [HOST]), { status: 200, headers: { 'content-length': '5000', 'content-type': 'text/csv' }, body: '' })
  t.match(await request(port, 'GET', '/503', [HOST]), { status: 503, headers: { 'retry-after': '1' }, body: 'busy' }, 'asked once')
  t.match(await request(port, 'DELETE', '/', [HOST]), { status: 418, headers: { 'content-type': 'application/problem+json' }, body: '{"detail":1}' })
})

t.test('server-sent events come as they are sent', async t => {
  let next = (): void => {}
  const target = await upstream(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    next = () => { response.end('data: 2\n\n') }
  })
  const { port } = await gateway(t, { upstream: target })
  const response = await get(port, '/stream')
  const [first] = await once(response.setEncoding('utf8'), 'data')
  t.equal(first, 'data: 1\n\n', 'the first one while the second is not there yet')
  next()
  t.same(await once(response, 'data'), ['data: 2\n\n'])
})

t.test('the head of an answer goes out when it comes', async t => {
  let end = (): void => {}
  const target = await socketServer(t, socket => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-bytes: caf\xe9\r\n\r\n', 'latin1')
      end = () => { socket.end('data: 1\n\n') }
    })
  })
  const { port } = await gateway(t, { upstream: target })
  const socket = connect(port, '127.0.0.1')
  socket.setEncoding('latin1').write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [head] = await once(socket, 'data')
  t.match(head, /^HTTP\/1\.1 200 OK\r\ncontent-type: text\/event-stream\r\nx-bytes: caf\xe9\r\n/)
  end()
  const [body] = await once(socket, 'data')
  t.match(body, 'data: 1\n\n')
  socket.destroy()
})

t.test('a reason phrase with bytes beyond ASCII is no error', async t => {
  let reason = Buffer.alloc(0)
  const target = await socketServer(t, socket => {
    socket.once('data', () => { socket.end(Buffer.concat([Buffer.from('HTTP/1.1 404 '), reason, Buffer.from('\r\ncontent-length: 0\r\n\r\n')])) })
  })
  const { port } = await gateway(t, { upstream: target })
  for (const [given, expected] of [['d\xe9sol\xe9', ''], ['d\xc3\xa9sol\xc3\xa9', 'd\xc3\xa9sol\xc3\xa9'], ['a b', 'a b'], ['', '']] as const) {
    reason = Buffer.from(given, 'latin1')
    const [line] = (await send(port, 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')).split('\r\n')
    t.equal(line, `HTTP/1.1 404 ${expected}`)
  }
})

t.test('interim answers and trailers reach clients that know them', async t => {
  const target = await upstream(t, (_request, response) => {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    response.writeHead(200, { trailer: 'x-sum' })
    response.write('body')
    response.addTrailers({ 'X-Sum': '1' })
    response.end()
  })
  const { port } = await gateway(t, { upstream: target })
  const ask = (version: string) => send(port, `GET / HTTP/${version}\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  t.match(await ask('1.1'), /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*Trailer: x-sum\r\n[^]*\r\n0\r\nX-Sum: 1\r\n\r\n$/)
  const old = await ask('1.0')
  t.match(old, /^HTTP\/1\.1 200 OK[^]*\r\n\r\nbody$/)
})

/** In HTTP/2 Node throws on the first four, in a callback of its own. */
const HOSTILE_TRAILERS: Array<[string, string]> = [
  ['Connection', 'x'], ['Keep-Alive', 'timeout=1'], ['Transfer-Encoding', 'gzip'], ['Upgrade', 'h2c'],
  ['X-Frame-Options', 'ALLOWALL'], ['Access-Control-Allow-Origin', '*'], ['X-Sum', '1']
]

t.test('trailers that belong to one hop, or that the settings decide on, end here', async t => {
  const target = await upstream(t, (_request, response) => {
    response.writeHead(200, { trailer: 'x-sum' }).write('ok')
    response.addTrailers(HOSTILE_TRAILERS)
    response.end()
  })
  const { session, port, cert, close } = await secure(t, { upstream: target })
  const answer = await askHttp2(session, { ':path': '/' })
  t.same([answer.body, Object.entries(answer.trailers)], ['ok', [['x-sum', '1']]])
  const socket = connectTls({ port, host: '127.0.0.1', ca: cert, ALPNProtocols: ['http/1.1'] })
  socket.setEncoding('latin1').write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  t.match(text, /\r\n0\r\nX-Sum: 1\r\n\r\n$/)
  await close()
})

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

t.test('a request over HTTP/1.1 that claims to be HTTP/2.0 gets the answer as it came', async t => {
  const target = await socketServer(t, socket => {
    socket.once('data', () => { socket.end('HTTP/1.1 200 Fine\r\nX-A: \xe9\r\nContent-Length: 2\r\n\r\nok', 'latin1') })
  })
  const { port } = await gateway(t, { upstream: target })
  t.match(await send(port, 'GET / HTTP/2.0\r\nHost: localhost\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 Fine\r\nX-A: \xe9\r\n/)
})
