import { once } from 'node:events'
import { createServer as createHttpServer, request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect, createServer as createSocketServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { createGateway } from '../../lib/gateway.js'
import { trackConnections } from '../../lib/gateway/drain.js'
import { isWebSocket } from '../../lib/gateway/upgrade.js'
import { listen, request, send, upgrade } from '../fixtures/server.js'
import { certificate, gateway, recorder, tlsUpstream, upstream } from '../fixtures/upstream.js'
import { settled, until } from '../fixtures/until.js'

const HOST = ['Host', 'localhost'] as const

async function refusal (pending: Promise<Response>): Promise<unknown> {
  const response = await pending
  return { status: response.status, ...await response.json() }
}

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

t.test('bodies of any type reach the upstream, with a length or in chunks', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const chunked = '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'
  for (const [type, head, wire, body] of [
    ['application/json', 'Content-Length: 7', '{"a":1}', '{"a":1}'],
    ['application/json', 'Content-Length: 3', '{no', '{no'],
    ['application/json', 'Content-Length: 0', '', ''],
    ['application/x-protobuf', 'Transfer-Encoding: chunked', chunked, 'abcde'],
    ['multipart/form-data; boundary=x', 'Content-Length: 2', '--', '--']
  ] as const) {
    seen.length = 0
    await send(port, `PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\n${head}\r\nConnection: close\r\n\r\n${wire}`)
    t.match(seen, [{ method: 'PUT', headers: { 'content-type': type }, body }], `${type} ${head}`)
  }
  await send(port, `POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunked}`)
  t.match(seen[1], { method: 'POST', body: 'abcde' }, 'without a type')

  for (const [method, head] of [['GET', 'Content-Length: 5'], ['HEAD', 'Content-Length: 5'], ['GET', 'Transfer-Encoding: chunked'], ['DELETE', 'Transfer-Encoding: chunked']] as const) {
    seen.length = 0
    await send(port, `${method} /x HTTP/1.1\r\nHost: localhost\r\n${head}\r\nConnection: close\r\n\r\n${head.endsWith('5') ? 'abcde' : chunked}`)
    t.match(seen, [{ method, body: 'abcde' }], `${method} with a body`)
  }
})

t.test('Expect: 100-continue is answered when the request is allowed, not before', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const ask = async (host: string) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(`POST /x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`)
    const [first] = await once(socket.setEncoding('latin1'), 'data')
    return { socket, first: String(first).split('\r\n')[0] }
  }
  const refused = await ask('evil.com')
  t.equal(refused.first, 'HTTP/1.1 403 Forbidden')
  refused.socket.destroy()
  const { socket, first } = await ask('localhost')
  t.equal(first, 'HTTP/1.1 100 Continue')
  socket.write('abcde')
  const [answer] = await once(socket, 'data')
  t.match(answer, /^HTTP\/1\.1 200 OK/)
  t.match(seen, [{ body: 'abcde', headers: { expect: undefined } }])
  const old = await send(port, 'POST /x HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde')
  t.match(old, /^HTTP\/1\.1 200 OK/, 'HTTP/1.0 knows no 100 (RFC 9110 §10.1.1)')
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

function get (port: number, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    httpRequest({ port, host: '127.0.0.1', path, headers: { host: 'localhost' } }, resolve).on('error', reject).end()
  })
}

t.test('who hangs up ends the request on the other side too', async t => {
  const asked: Array<string | undefined> = []
  const closed: string[] = []
  const target = await upstream(t, (request, response) => {
    asked.push(request.url)
    response.on('close', () => { if (!response.writableFinished) closed.push(request.url ?? '') })
    if (request.url === '/body') response.writeHead(200).write('begun')
    if (request.url === '/breaks') {
      response.writeHead(200, { 'content-length': '100' }).write('begun')
      setTimeout(() => response.destroy(), 50)
    }
  })
  const { port, lines } = await gateway(t, { upstream: target })
  for (const path of ['/waiting', '/body']) {
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    if (path === '/body') await once(socket, 'data')
    else await until(() => asked.includes(path))
    socket.destroy()
    await until(() => closed.includes(path))
    t.pass(`the client hangs up: ${path}`)
  }
  const upload = connect(port, '127.0.0.1')
  upload.write('POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc')
  await until(() => asked.includes('/upload'))
  upload.destroy()
  await until(() => closed.includes('/upload'))
  t.notOk(lines.some(({ level }) => level >= 50), 'a client that hangs up is no error of ours')

  const answer = await send(port, 'GET /breaks HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.match(answer, /begun$/, 'the upstream breaks off: the answer ends, incomplete as it is')
  t.equal((await request(port, 'GET', '/nothing', [['Host', 'evil.com']])).status, 403, 'the gateway lives on')
})

t.test('an upstream that is down or hangs up is a 502 in words, and one that is slow is waited for', async t => {
  const closing = createSocketServer(socket => { socket.once('data', () => socket.destroy()) })
  closing.listen(0, '127.0.0.1')
  await once(closing, 'listening')
  t.teardown(() => closing.close())
  const hangsUp = closing.address() as AddressInfo
  const slow = await upstream(t, (_request, response) => { setTimeout(() => response.end('late'), 1500) })
  const code = 'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE'

  for (const target of ['http://127.0.0.1:1', `http://127.0.0.1:${hangsUp.port}`, 'http://nothing.invalid']) {
    const { port, lines } = await gateway(t, { upstream: target })
    t.match(await refusal(fetch(`http://127.0.0.1:${port}/`)), { status: 502, code, message: /cannot be reached, or its answer is broken\. Is it running\?/ }, target)
    t.match(lines.find(({ level }) => level === 40), { code: /ECONNREFUSED|UND_ERR_SOCKET|ENOTFOUND|EAI_AGAIN/ }, 'the log says why')
    t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 502, 'the gateway lives on')
  }
  const patient = await gateway(t, { upstream: slow })
  t.equal((await fetch(`http://127.0.0.1:${patient.port}/`)).status, 200)
  const impatient = await gateway(t, { upstream: slow, upstreamTimeout: 0.2 })
  t.match(await refusal(fetch(`http://127.0.0.1:${impatient.port}/`)), { status: 504, code: 'FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT' })
})

t.test('an upstream that misbehaves is a 502, or an answer that ends early, and the gateway lives on', async t => {
  let bytes = ''
  const server = createSocketServer(socket => {
    socket.on('error', () => {}).once('data', () => socket.end(bytes, 'latin1'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port, lines } = await gateway(t, { upstream: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
  const cases: Array<[name: string, bytes: string, status: number, body: string | RegExp]> = [
    ['no HTTP', 'garbage', 502, /UPSTREAM_UNREACHABLE/],
    ['status 999', 'HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n', 502, /UPSTREAM_UNREACHABLE/],
    ['status 099', 'HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n', 502, /UPSTREAM_UNREACHABLE/],
    ['101 that nobody asked for', 'HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n', 502, /UPSTREAM_UNREACHABLE/],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok', 502, /UPSTREAM_UNREACHABLE/],
    ['headers beyond measure', `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(100_000)}\r\n\r\n`, 502, /UPSTREAM_UNREACHABLE/],
    ['less than it said', 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok', 200, /^ok$/],
    ['a second answer behind the first', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nevil', 200, /^ok$/],
    ['a hint before the answer', 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok', 200, /^ok$/],
    ['a body until it closes', 'HTTP/1.0 200 OK\r\n\r\nok', 200, /ok/],
    ['a body where there is none', 'HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello', 204, /^$/],
    ['no chunks where it says so', 'HTTP/1.1 200 OK\r\ncache-control: max-age=9\r\nx-vary: a\r\nvary-x: a\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\nzz', 502, /UPSTREAM_UNREACHABLE/],
    ['a coded transfer', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n', 502, /UPSTREAM_UNREACHABLE/],
    ['100 that nobody asked for', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok', 502, /UPSTREAM_UNREACHABLE/],
    ['a length where there is no body', 'HTTP/1.1 304 Not Modified\r\netag: "e"\r\ncontent-length: 5\r\n\r\n', 304, /^$/],
    ['headers that stand twice', 'HTTP/1.1 302 X\r\nconnection: close\r\nconnection: x-hop\r\nx-hop: 1\r\nlocation: /a\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n', 302, /^$/],
    ['our own headers named for one hop', 'HTTP/1.1 200 OK\r\nconnection: close, x-frame-options, vary\r\ncontent-length: 2\r\n\r\nok', 200, /^ok$/]
  ]
  for (const [name, answer, status, body] of cases) {
    bytes = answer
    const { headers, ...rest } = await request(port, 'GET', '/', [HOST, ['Origin', 'http://localhost:3000']])
    t.match(rest, { status, body }, name)
    t.match(headers, {
      'x-frame-options': 'SAMEORIGIN',
      'x-content-type-options': 'nosniff',
      vary: /Origin/,
      'access-control-allow-origin': 'http://localhost:3000',
      'access-control-allow-credentials': 'true'
    }, `${name}: with our headers`)
    for (const header of ['x-hop', 'x-vary', 'vary-x']) t.notOk(headers[header], `${name}: without ${header}`)
    t.notOk(headers['cache-control'], `${name}: no cache keeps an error`)
  }
  const warnings = lines.filter(({ level }) => level === 40)
  t.match(warnings[0], { msg: 'No answer from the upstream', err: { message: /Expected HTTP/ } }, 'the log says what is wrong with it')
  for (const { msg } of warnings) t.notMatch(msg, /undefined/)
})

t.test('what would smuggle a request through is refused, or made unambiguous', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const post = 'POST /x HTTP/1.1\r\nHost: localhost\r\n'
  for (const head of ['Content-Length: 5\r\nTransfer-Encoding: chunked', 'Transfer-Encoding: xchunked', 'Content-Length: 0\r\nContent-Length: 5', 'Content-Length: +5']) {
    t.match(await send(port, `${post}${head}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n`), /^HTTP\/1\.1 (400|501) /, head)
  }
  t.match(await send(port, `${post}Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`), /^HTTP\/1\.1 501 [^]*CODED_TRANSFER/)
  t.same(seen, [])
  await send(port, `${post}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n`)
  await send(port, `${post}Content-Length: 3\r\nConnection: close, host, content-length, x-forwarded-for\r\n\r\nabc`)
  t.match(seen, [{ body: 'abc' }, { body: 'abc', headers: { 'x-forwarded-for': '127.0.0.1' } }])
  t.equal(seen.length, 2)
})

t.test('an upgrade that comes before its turn, or is reset, costs its own connection alone', async t => {
  let held = 0
  const target = await upstream(t, (request, response) => {
    if (request.url === '/held') held++
    else response.end('ok')
  })
  const { port } = await gateway(t, { upstream: target })
  for (const upgrade of ['websocket', 'foo']) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`GET /held HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: evil.com\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`)
    // A joined socket cannot wait for its turn. Any other upgrade is an ordinary request, and waits where Node can ignore it.
    let isClosed = false
    socket.once('close', () => { isClosed = true })
    await until(() => isClosed || (upgrade !== 'websocket' && held > 0))
    socket.destroy()
    t.equal((await request(port, 'GET', '/', [HOST])).status, 200, upgrade)
  }

  const app = createGateway({ upstream: target })
  t.teardown(() => app.close())
  let begun = 0
  let ended = 0
  app.addHook('onRequest', async ({ raw }) => {
    begun++
    if (raw.headers.upgrade !== undefined) await new Promise(resolve => { raw.socket.once('close', resolve) })
    ended++
  })
  const waiting = await listen(app)
  for (let i = 0; i < 5; i++) {
    const socket = connect(waiting, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
    await until(() => begun > i)
    socket.resetAndDestroy()
  }
  await until(() => ended === 5)
  t.equal((await request(waiting, 'GET', '/', [HOST])).status, 200)
})

t.test('WebSockets whose upstream is down, refuses, or comes too late', async t => {
  const open = async (upstream: string) => {
    const { port, lines } = await gateway(t, { upstream })
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
    socket.on('error', () => {})
    const [, response] = await once(socket, 'unexpected-response')
    let body = ''
    for await (const chunk of response) body += chunk
    return { status: response.statusCode, body, warning: lines.find(({ level }) => level === 40) }
  }
  t.match(await open('http://127.0.0.1:1'), { status: 502, body: /UPSTREAM_UNREACHABLE/, warning: { code: 'ECONNREFUSED', method: 'GET', url: '/' } })
  const tls = certificate()
  t.match(await open(await tlsUpstream(t, () => {}, tls)), { status: 502, warning: { code: /CERT/ } })
  const refusing = await upstream(t, (_request, response) => { response.writeHead(403).end('no') })
  t.match(await open(refusing), { status: 403, body: 'no', warning: undefined }, 'its own status and body')

  const late = createHttpServer().listen(0, '127.0.0.1')
  await once(late, 'listening')
  t.teardown(() => late.close())
  const server = new WebSocketServer({ noServer: true })
  const asked = once(late, 'upgrade')
  const { port } = await gateway(t, { upstream: `http://127.0.0.1:${(late.address() as AddressInfo).port}` })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
  socket.on('error', () => {})
  const [handshake, connection, head] = await asked
  socket.terminate()
  const gone = new Promise(resolve => { connection.once('close', resolve) })
  connection.on('error', () => {}).on('end', () => connection.destroy()).resume()
  await gone
  server.handleUpgrade(handshake, connection, head, () => {})
  t.equal(server.clients.size, 0, 'it does not outlive its client')
})

t.test('a WebSocket that nobody reads holds the other side back, and loses nothing', async t => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  t.teardown(() => sockets.close())
  const { port } = await gateway(t, { upstream: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}` })
  const client = new WebSocket(`ws://127.0.0.1:${port}/`)
  const [[server]] = await Promise.all([once(sockets, 'connection'), once(client, 'open')])
  for (const [name, sender, reader] of [['the client does not read', server, client], ['the upstream does not read', client, server]] as const) {
    const everything = new Promise<void>(resolve => {
      let read = 0
      reader.on('message', () => { if (++read === 48) resolve() })
    })
    reader.pause()
    for (let i = 0; i < 48; i++) sender.send(Buffer.alloc(1 << 20))
    const waiting = await settled(() => sender.bufferedAmount)
    t.ok(waiting > 1 << 24, `${name}: ${waiting} bytes wait where they come from`)
    reader.resume()
    await everything
    t.equal(sender.bufferedAmount, 0)
  }
  client.close()
})

t.test('a WebSocket to an upstream by https, whose certificate is trusted', async t => {
  const tls = certificate()
  const target = await tlsUpstream(t, () => {}, tls, server => {
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', socket => { socket.send('hello') })
  })
  const { port } = await gateway(t, { upstream: target, upstreamCa: tls.cert })
  const client = new WebSocket(`ws://127.0.0.1:${port}/`)
  const [message] = await once(client, 'message')
  t.equal(String(message), 'hello')
  client.close()
})

t.test('a gateway that has ended leaves the upstream no connection', async t => {
  let open = 0
  const target = await upstream(t, (request, response) => {
    open++
    request.socket.once('close', () => { open-- })
    response.end('ok')
  })
  const app = createGateway({ upstream: target })
  const port = await listen(app)
  t.equal((await request(port, 'GET', '/', [HOST])).status, 200)
  t.equal(open, 1, 'kept for the next request')
  await app.close()
  await until(() => open === 0)
  t.pass('it is closed')
})

t.test('WebSockets pass when they are allowed, with their headers', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  t.teardown(() => sockets.close())
  const headers: Array<IncomingMessage['headers']> = []
  sockets.on('connection', (socket, { headers: received }) => {
    headers.push(received)
    socket.on('message', data => { socket.send(`echo ${String(data)}`) })
  })
  const { port } = await gateway(t, { upstream: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}` })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?a=1`, ['proto'], {
    headers: { authorization: 'Bearer x', cookie: 'a=b', 'sec-fetch-site': 'same-origin' }, origin: `http://127.0.0.1:${port}`
  })
  await once(socket, 'open')
  socket.send('hello')
  const [message] = await once(socket, 'message')
  t.equal(String(message), 'echo hello')
  t.match(headers, [{ authorization: 'Bearer x', cookie: 'a=b', 'sec-websocket-protocol': 'proto', 'x-forwarded-host': `127.0.0.1:${port}` }])
  t.notOk(headers[0]?.origin)
  t.notOk(headers[0]?.['sec-fetch-site'])
  socket.close()

  const loop = headers[0]?.via ?? ''
  t.match(loop, /^1\.1 mlflow-gateway-/)
  t.equal(await upgrade(port, '/ws', [HOST, ['Via', loop]]), 508, 'a WebSocket that leads back')

  const plain = await gateway(t, { upstream: target })
  t.equal(await upgrade(plain.port, '/health', [HOST]), 200, 'an upstream that knows none answers as it likes, on a health route as well')
  t.equal(seen.length, 1)
})

t.test('a client that sends its whole body before it reads gets an answer that came early, and its connection is kept', async t => {
  const target = await upstream(t, (request, response) => {
    if (request.url === '/reset') request.once('data', () => { request.socket.destroy() })
    else response.writeHead(401, { 'content-length': '2' }).end('no')
  })
  const { port } = await gateway(t, { upstream: target })
  for (const [target, status] of [['/', 401], ['/reset', 502]] as const) {
    const socket = connect(port, '127.0.0.1')
    const length = 16 << 20
    socket.write(`PUT ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`)
    await new Promise(resolve => { socket.write(Buffer.alloc(length), resolve) })
    let answer = ''
    socket.setEncoding('latin1').on('data', chunk => { answer += chunk })
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    await once(socket, 'end')
    t.match(answer.match(/HTTP\/1\.1 \d+/g), [`HTTP/1.1 ${status}`, 'HTTP/1.1 401'], target)
  }
})

t.test('a client that offers h2c is served as it is', async t => {
  for (const [upgrade, expected] of [['websocket', true], ['WebSocket', true], ['h2c', false], ['h2c, websocket', false], [undefined, false]] as const) {
    t.equal(isWebSocket({ headers: upgrade === undefined ? {} : { upgrade } }), expected, upgrade ?? 'none')
  }
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const socket = connect(port, '127.0.0.1')
  const head = 'Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'
  socket.setEncoding('latin1').write(`POST / HTTP/1.1\r\n${head}Content-Length: 3\r\n\r\nabc`)
  const [answer] = await once(socket, 'data')
  socket.destroy()
  t.match(answer, /^HTTP\/1\.1 200/)
  t.match(seen, [{ method: 'POST', body: 'abc', headers: { upgrade: undefined, 'http2-settings': undefined } }])
})

t.test('a request that offers h2c and has more headers than Node reads is refused whole', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const inner = 'GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  const head = `Host: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n${'a: \r\n'.repeat(1100)}`
  const answer = await send(port, `POST / HTTP/1.1\r\n${head}Content-Length: ${inner.length}\r\n\r\n${inner}`)
  t.match(answer, /^HTTP\/1\.1 4\d\d /)
  t.notMatch(answer, /HTTP\/1\.1 2\d\d/, 'its body is no request')
  t.same(seen, [])
})

t.test('an offer of h2c before its turn mixes up no answers, and does not end the gateway', async t => {
  const waiting: Array<() => void> = []
  const target = await upstream(t, ({ url }, response) => {
    if (url === '/last' || url === '/') response.end(url)
    else waiting.push(() => { response.end(url) })
  })
  for (const many of ['', 'a: \r\n'.repeat(1100)]) {
    const { port } = await gateway(t, { upstream: target })
    const socket = connect(port, '127.0.0.1')
    let answer = ''
    let isClosed = false
    socket.on('error', () => {}).once('close', () => { isClosed = true }).setEncoding('latin1').on('data', chunk => { answer += chunk })
    socket.write('GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await until(() => waiting.length === 1)
    socket.write(`GET /offer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n${many}\r\n`)
    await until(() => isClosed || waiting.length === 2 || answer !== '')
    waiting.shift()?.()
    await until(() => isClosed || answer.includes('/first') || answer.includes(' 431 '))
    socket.write('GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await settled(() => answer.length) // the last one waits for its turn, or gets an answer that is not its own
    waiting.shift()?.()
    await settled(() => answer.length)
    socket.destroy()
    // Newer Node refuses so many headers itself, and ends the connection.
    const isRefusedByNode = many !== '' && isClosed && /^HTTP\/1\.1 431 [^]*Exceeded maximum allowed HTTP header size[^]{0,20}$/.test(answer)
    const bodies = answer.replaceAll(/HTTP[^]*?\r\n\r\n/g, '')
    t.ok(isRefusedByNode || /^(|\/first|\/first\/offer|\/first\/offer\/last|\/first\{.*)$/.test(bodies), `each answer in its turn: ${bodies}`)
    t.ok(isRefusedByNode || /^($|HTTP\/1\.1 200)/.test(answer), 'the first request gets its own answer or none')
    t.equal((await request(port, 'GET', '/', [HOST])).status, 200)
  }
})

t.test('a connection that offers h2c again and again costs no more than one', async t => {
  const app = createGateway({ upstream: await upstream(t, (_request, response) => { response.end('ok') }) })
  trackConnections(app.server)
  t.teardown(() => app.close())
  const port = await listen(app)
  const accepted = once(app.server, 'connection')
  const socket = connect(port, '127.0.0.1')
  const [server] = await accepted
  for (let i = 0; i < 50; i++) {
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
    await once(socket, 'data')
  }
  for (const event of server.eventNames()) t.ok(server.listenerCount(event) < 10, String(event))
  socket.destroy()
})

t.test('https on either side: certificates are verified', async t => {
  const tls = certificate()
  const target = await tlsUpstream(t, (request, response) => { response.end(request.headers['x-forwarded-proto']) }, tls)
  const untrusting = await gateway(t, { upstream: target })
  t.equal((await request(untrusting.port, 'GET', '/', [HOST])).status, 502)
  t.match(untrusting.lines.find(({ level }) => level === 40), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  const { port } = await gateway(t, { upstream: target, upstreamCa: tls.cert, tls })
  const { Agent, fetch: undiciFetch } = await import('undici')
  const dispatcher = new Agent({ connect: { ca: tls.cert } })
  t.teardown(() => dispatcher.destroy())
  const response = await undiciFetch(`https://127.0.0.1:${port}/`, { dispatcher })
  t.equal(await response.text(), 'https')
})

t.test('300 MB each way, with a length and in chunks, in little memory', async t => {
  const chunk = Buffer.alloc(1 << 16, 'x')
  const size = 4800 * chunk.length
  let received = 0
  const target = await upstream(t, (request, response) => {
    if (request.method === 'PUT') {
      request.on('data', data => { received += data.length }).on('end', () => response.end('ok'))
      return
    }
    response.writeHead(200, request.url === '/length' ? { 'content-length': size } : {})
    pump(response, size)
  })
  const { port } = await gateway(t, { upstream: target })
  const memory = () => { const { heapUsed, arrayBuffers } = process.memoryUsage(); return heapUsed + arrayBuffers }

  function pump (to: NodeJS.WritableStream, left: number): void {
    while (left > 0) {
      left -= chunk.length
      if (!to.write(chunk)) { to.once('drain', () => pump(to, left)); return }
    }
    to.end()
  }

  const before = memory()
  let peak = 0
  const watch = setInterval(() => { peak = Math.max(peak, memory()) }, 20)
  for (const path of ['/length', '/chunks']) {
    let read = 0
    for await (const data of await get(port, path)) read += data.length
    t.equal(read, size, `down: ${path}`)
    received = 0
    const headers = { host: 'localhost', ...(path === '/length' ? { 'content-length': size } : {}) }
    const put = httpRequest({ port, host: '127.0.0.1', method: 'PUT', path, headers })
    pump(put, size)
    const [response] = await once(put, 'response')
    response.resume()
    t.equal(received, size, `up: ${path}`)
  }
  clearInterval(watch)
  t.ok(peak - before < 250e6, `at most ${Math.round((peak - before) / 1e6)} MB more than before, garbage and both ends included`)
})
