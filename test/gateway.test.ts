import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect, createServer as createSocketServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { createGateway } from '../lib/gateway.js'
import { loadOptional } from '../lib/gateway/optional.js'
import { isWebSocket } from '../lib/gateway/upgrade.js'
import { CREATE_RUN, listen, request, send, upgrade } from './fixtures/server.js'
import { certificate, gateway, recorder, tlsUpstream, upstream } from './fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

async function refusal (pending: Promise<Response>): Promise<unknown> {
  const response = await pending
  return { status: response.status, ...await response.json() }
}

t.test('to the upstream: its own Host, no Origin, no Sec-Fetch-*, X-Forwarded-* of our own, the rest as it came', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const { port } = await gateway(t, { upstream: target })
  await request(port, 'POST', '/api/2.0/mlflow/runs/create?a=%20b+c&d=1%2F2', [
    HOST, ['Origin', 'http://localhost:3000'], ['Sec-Fetch-Site', 'same-site'], ['Sec-Fetch-Mode', 'cors'],
    ['Forwarded', 'for=6.6.6.6'], ['X-Forwarded-For', '6.6.6.6'], ['X-Forwarded-Proto', 'https'], ['X-Forwarded-Port', '1'],
    ['Authorization', 'Basic YTpi'], ['Cookie', 'a=b; c=d'], ['X-MLflow-Workspace', 'team'], ['Keep-Alive', 'timeout=5'],
    ['Proxy-Connection', 'keep-alive'], ['TE', 'trailers'], ['X-Secret', 'for this hop'], ['Connection', 'close, X-Secret'],
    ['If-None-Match', '"e"'], ['Accept-Encoding', 'br']
  ])
  t.same(seen, [{
    method: 'POST',
    url: '/api/2.0/mlflow/runs/create?a=%20b+c&d=1%2F2',
    headers: {
      host: new URL(target).host,
      connection: 'keep-alive',
      authorization: 'Basic YTpi',
      cookie: 'a=b; c=d',
      'x-mlflow-workspace': 'team',
      'if-none-match': '"e"',
      'accept-encoding': 'br',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': 'localhost',
      'x-forwarded-proto': 'http',
      'content-length': '0'
    },
    body: ''
  }])
})

t.test('behind a trusted proxy X-Forwarded-* go on as it wrote them', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, {
    upstream: await upstream(t, listener), allowedHosts: 'localhost,mlflow.company.com', fastify: { trustProxy: '127.0.0.1' }
  })
  await request(port, 'GET', '/', [
    HOST, ['X-Forwarded-For', '6.6.6.6, 203.0.113.5'], ['X-Forwarded-Host', 'mlflow.company.com'], ['X-Forwarded-Proto', 'https']
  ])
  t.match(seen[0]?.headers, {
    'x-forwarded-for': '203.0.113.5, 127.0.0.1', 'x-forwarded-host': 'mlflow.company.com', 'x-forwarded-proto': 'https'
  })
})

t.test('from the upstream: our security headers in place of its own, the rest as it came', async t => {
  const target = await upstream(t, (_request, response) => {
    response.writeHead(200, [
      ['Access-Control-Allow-Origin', '*'], ['Access-Control-Allow-Credentials', 'true'], ['X-Frame-Options', 'ALLOWALL'],
      ['X-Content-Type-Options', 'sniff'], ['Set-Cookie', 'a=1'], ['Set-Cookie', 'b=2'], ['ETag', '"x"'], ['Vary', 'Accept'],
      ['Content-Security-Policy', "default-src 'self'"], ['X-Name', 'caf\xe9'], ['X-Hop', 'here'], ['Connection', 'X-Hop'], ['Server', 'uvicorn']
    ].flat())
    response.end('{}')
  })
  const { port } = await gateway(t, { upstream: target, frameAncestors: 'https://nb.company.com' })
  const { headers } = await request(port, 'GET', '/', [HOST, ['Origin', 'http://localhost:3000']])
  t.match(headers, {
    'access-control-allow-origin': 'http://localhost:3000',
    'access-control-allow-credentials': 'true',
    'x-frame-options': 'SAMEORIGIN',
    'x-content-type-options': 'nosniff',
    'set-cookie': 'a=1, b=2',
    etag: '"x"',
    vary: 'Accept, Origin',
    'content-security-policy': "default-src 'self'; frame-ancestors 'self' https://nb.company.com",
    server: 'uvicorn',
    'x-name': 'caf\xe9'
  })
  t.notOk(headers['x-hop'])
  t.notOk(headers['content-type'], 'none where the upstream has none')
  const foreign = await request(port, 'GET', '/', [HOST, ['Origin', 'https://evil.com']])
  t.notOk(foreign.headers['access-control-allow-origin'])

  const off = await gateway(t, { upstream: target, disableSecurityMiddleware: true })
  const plain = await request(off.port, 'GET', '/', [['Host', 'evil.com']])
  t.match(plain.headers, { 'x-frame-options': 'ALLOWALL', 'x-content-type-options': 'sniff', vary: /^Accept$/ }, 'disabled: nothing is touched')
})

t.test('Vary names Origin once', async t => {
  let vary: string[] = []
  const target = await upstream(t, (_request, response) => { response.setHeader('vary', vary).end() })
  const { port } = await gateway(t, { upstream: target })
  for (const [given, expected] of [[['accept', 'cookie'], 'accept, cookie, Origin'], [['Accept, ORIGIN'], 'Accept, ORIGIN'], [['*'], '*']] as const) {
    vary = [...given]
    t.equal((await request(port, 'GET', '/', [HOST])).headers.vary, expected)
  }
})

t.test('redirects to the upstream lead to the gateway', async t => {
  let location = ''
  const target = await upstream(t, (_request, response) => { response.writeHead(307, { location }).end() })
  const { host } = new URL(target)
  const { port } = await gateway(t, { upstream: target })
  const below = await gateway(t, { upstream: `${target}/base/` })
  const cases: Array<[location: string, expected: string, belowBase: string]> = [
    [`${target}/a?b=1`, 'http://localhost/a?b=1', `${target}/a?b=1`],
    [`https://${host}/base/a`, 'http://localhost/base/a', 'http://localhost/a'],
    [target, 'http://localhost/', target],
    [`${target}?q`, 'http://localhost/?q', `${target}?q`],
    [`${target}/base`, 'http://localhost/base', 'http://localhost/'],
    [`${target}/based`, 'http://localhost/based', `${target}/based`],
    ['/base/a', '/base/a', '/a'],
    ['/other/base/a', '/other/base/a', '/other/base/a'],
    ['a', 'a', 'a'],
    ['https://other.com/base/a', 'https://other.com/base/a', 'https://other.com/base/a']
  ]
  for (const [answer, expected, belowBase] of cases) {
    location = answer
    t.equal((await request(port, 'GET', '/', [HOST])).headers.location, expected, answer)
    t.equal((await request(below.port, 'GET', '/', [HOST])).headers.location, belowBase, `below /base: ${answer}`)
  }
})

t.test('paths reach the upstream as they came, below its own path', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const { port } = await gateway(t, { upstream: target })
  const below = await gateway(t, { upstream: `${target}/base/` })
  const cases: Array<[path: string, expected: string]> = [
    ['/', '/'], ['/?', '/?'], ['/?q', '/?q'], ['/a%2Fb', '/a%2Fb'], ['/a//b', '/a//b'], ['/%C3%A4?x=%zz', '/%C3%A4?x=%zz'], ['/a;b=c', '/a;b=c'],
    [`/${'a'.repeat(300)}`, `/${'a'.repeat(300)}`], ['http://localhost/abs?q=1', '/abs?q=1'], ['/health', '/health'], ['/a/', '/a/']
  ]
  for (const [path, expected] of cases) {
    seen.length = 0
    await request(port, 'GET', path, [HOST])
    await request(below.port, 'GET', path, [HOST])
    t.same(seen.map(({ url }) => url), [expected, `/base${expected}`], path)
  }
  for (const path of ['/a/../../etc', '/%2e%2e/x', '/a/..\\..\\x']) {
    seen.length = 0
    t.equal((await request(below.port, 'GET', path, [HOST])).status, 400, path)
    t.same(seen, [], 'nothing reaches the upstream')
  }
  t.equal((await request(port, 'GET', '//evil.com/x', [HOST])).status, 400, 'no path that some would take for a host')
})

t.test('foreign Hosts, Origins, preflights and upgrades stop at the gateway', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const origin = ['Origin', 'https://evil.com'] as const
  for (const [method, headers, status] of [
    ['GET', [['Host', 'evil.com']], 403],
    ['GET', [], 400],
    ['POST', [HOST, origin], 403],
    ['OPTIONS', [HOST, origin, ['Access-Control-Request-Method', 'POST']], 403],
    ['OPTIONS', [HOST, ['Origin', 'http://localhost'], ['Access-Control-Request-Method', 'POST']], 204]
  ] as const) t.equal((await request(port, method, CREATE_RUN, headers)).status, status)
  t.equal(await upgrade(port, '/', [HOST, origin]), 403)
  t.equal(await upgrade(port, '/health', [['Host', 'evil.com'], origin]), 403)
  t.same(seen, [], 'nothing reaches the upstream')
  t.equal((await request(port, 'OPTIONS', '/', [HOST])).status, 200, 'a bare OPTIONS is the upstream\'s')
})

t.test('probes ask by any Host, and only they', async t => {
  const { listener } = recorder()
  const target = await upstream(t, listener)
  const evil = ['Host', 'evil.com'] as const
  for (const [options, path, status] of [
    [{}, '/health', 200], [{}, '/version', 200], [{}, '/health/x', 403], [{}, '/api/../health', 403], [{}, '/mlflow/health', 403],
    [{ staticPrefix: '/mlflow' }, '/mlflow/health', 200], [{ staticPrefix: '/mlflow' }, '/mlflow/version', 200],
    [{ staticPrefix: '/mlflow' }, '/health', 403], [{ healthRoutes: '/ping' }, '/ping', 200], [{ healthRoutes: [] }, '/health', 403]
  ] as const) {
    const { port } = await gateway(t, { upstream: target, ...options })
    t.equal((await request(port, 'GET', path, [evil])).status, status, `${path} ${JSON.stringify(options)}`)
    t.equal((await request(port, 'HEAD', path, [evil])).status, status, `HEAD ${path}`)
  }
})

t.test('the trace renderer of notebooks may be framed by anyone, nothing else', async t => {
  const target = await upstream(t, (_request, response) => { response.setHeader('x-frame-options', 'DENY').end('<p>') })
  for (const staticPrefix of ['', '/mlflow']) {
    const { port } = await gateway(t, { upstream: target, staticPrefix, frameAncestors: 'https://nb.company.com' })
    const headers = async (path: string) => (await request(port, 'GET', staticPrefix + path, [HOST])).headers
    const renderer = await headers('/static-files/lib/notebook-trace-renderer/index.html')
    t.notOk(renderer['x-frame-options'])
    t.notOk(renderer['content-security-policy'])
    t.equal((await headers('/static-files/index.html'))['x-frame-options'], 'SAMEORIGIN')
    t.equal((await headers('/'))['content-security-policy'], "frame-ancestors 'self' https://nb.company.com")
  }
})

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

  for (const [method, head] of [['GET', 'Content-Length: 5'], ['HEAD', 'Content-Length: 5'], ['GET', 'Transfer-Encoding: chunked']] as const) {
    seen.length = 0
    const answer = await send(port, `${method} /x HTTP/1.1\r\nHost: localhost\r\n${head}\r\nConnection: close\r\n\r\n${head.endsWith('5') ? 'abcde' : chunked}`)
    t.match(answer, /^HTTP\/1\.1 400 /, `${method} with a body is not passed on without it`)
    t.same(seen, [])
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
  const closed: string[] = []
  const target = await upstream(t, (request, response) => {
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
    else await wait(100)
    socket.destroy()
    while (!closed.includes(path)) await wait(10)
    t.pass(`the client hangs up: ${path}`)
  }
  const upload = connect(port, '127.0.0.1')
  upload.write('POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc')
  await wait(100)
  upload.destroy()
  while (!closed.includes('/upload')) await wait(10)
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
    t.match(await refusal(fetch(`http://127.0.0.1:${port}/`)), { status: 502, code, message: /cannot be reached\. Is it running\?/ }, target)
    t.match(lines.find(({ level }) => level === 40), { err: { code: /ECONNREFUSED|UND_ERR_SOCKET|ENOTFOUND/ } }, 'the log says why')
    t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 502, 'the gateway lives on')
  }
  const patient = await gateway(t, { upstream: slow })
  t.equal((await fetch(`http://127.0.0.1:${patient.port}/`)).status, 200)
  const impatient = await gateway(t, { upstream: slow, upstreamTimeout: 0.2 })
  t.match(await refusal(fetch(`http://127.0.0.1:${impatient.port}/`)), { status: 504, code: 'FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT' })
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

  const plain = await gateway(t, { upstream: target })
  t.equal(await upgrade(plain.port, '/health', [HOST]), 101, 'a health route is no trap either')
  t.same(seen.length, 0)
})

t.test('a client that offers h2c is served as it is', async t => {
  for (const [upgrade, expected] of [['websocket', true], ['WebSocket', true], ['h2c', false], ['h2c, websocket', false], [undefined, false]] as const) {
    t.equal(isWebSocket({ headers: upgrade === undefined ? {} : { upgrade } }), expected, upgrade ?? 'none')
  }
  const { listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const socket = connect(port, '127.0.0.1')
  const head = 'Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'
  socket.setEncoding('latin1').write(`POST / HTTP/1.1\r\n${head}Content-Length: 3\r\n\r\nabc`)
  const [answer] = await once(socket, 'data')
  socket.destroy()
  // Node can leave an upgrade alone since 22.21 and 24.9.
  t.match(answer, Number(process.versions.node.split('.')[0]) >= 22 ? /^HTTP\/1\.1 200/ : /^HTTP\/1\.1 4/)
})

t.test('https on either side: certificates are verified', async t => {
  const tls = await certificate()
  const target = await tlsUpstream(t, (request, response) => { response.end(request.headers['x-forwarded-proto']) }, tls)
  const untrusting = await gateway(t, { upstream: target })
  t.equal((await request(untrusting.port, 'GET', '/', [HOST])).status, 502)
  t.match(untrusting.lines.find(({ level }) => level === 40), { err: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } })
  const { port } = await gateway(t, { upstream: target, upstreamCa: tls.cert, tls })
  const { Agent, fetch: undiciFetch } = await import('undici')
  const dispatcher = new Agent({ connect: { ca: tls.cert } })
  t.teardown(() => dispatcher.destroy())
  const response = await undiciFetch(`https://127.0.0.1:${port}/`, { dispatcher })
  t.equal(await response.text(), 'https')
})

t.test('plugins, hooks and routes that are added to it come before the proxy', async t => {
  const { seen, listener } = recorder()
  const app = createGateway({ upstream: await upstream(t, listener) })
  t.teardown(() => app.close())
  const routes: string[] = []
  await app.register(async () => {})
  app.addHook('onRoute', ({ url }) => { routes.push(url) })
  app.addHook('onRequest', async request => { if (request.url === '/secret') throw Object.assign(new Error('no'), { statusCode: 401 }) })
  app.post('/login', async request => request.body)
  const port = await listen(app)
  await app.ready()
  t.equal((await request(port, 'GET', '/secret', [HOST])).status, 401)
  t.equal((await request(port, 'GET', '/open', [HOST])).status, 200)
  const body = JSON.stringify({ user: 'a' })
  const head = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\nConnection: close`
  t.match(await send(port, `POST /login HTTP/1.1\r\n${head}\r\n\r\n${body}`), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK[^]*\{"user":"a"\}$/, 'its own routes parse')
  t.ok(routes.includes('/*'), 'onRoute sees the proxy\'s routes')
  t.same(seen.map(({ url }) => url), ['/open'])
})

t.test('a wrong setting is said before anything listens', async t => {
  const cases: Array<[options: Parameters<typeof createGateway>[0], message: RegExp]> = [
    [undefined, /^upstream \(MLFLOW_TRACKING_URI, --upstream\) is missing\. It is the URL/],
    [{ upstream: '127.0.0.1:5000' }, /is no http or https URL.*Did you mean "http:\/\/127\.0\.0\.1:5000"\?$/],
    [{ upstream: 'localhost:5000/x' }, /Did you mean "http:\/\/localhost:5000\/x"\?$/],
    [{ upstream: 'sqlite:///m.db' }, /is no http or https URL\. Allowed: .*path\.$/],
    [{ upstream: 'databricks' }, /Did you mean "http:\/\/databricks"\?$/],
    [{ upstream: 'http://user:pass@host:1/' }, /^upstream[^:]*: "http:\/\/\*\*\*@host:1" carries credentials.*Did you mean "http:\/\/host:1"\?$/],
    [{ upstream: 'http://host/a?b' }, /has a query or a fragment.*Did you mean "http:\/\/host\/a"\?$/],
    [{ upstream: 'http://host/#b' }, /has a query or a fragment/],
    [{ upstream: 'http://a', staticPrefix: 'mlflow/' }, /^staticPrefix \(--static-prefix\): "mlflow\/" is no such path.*Did you mean "\/mlflow"\?$/],
    [{ upstream: 'http://a', staticPrefix: '/' }, /"\/" is no such path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '/a/:b' }, /is no such path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', upstreamTimeout: -1 }, /^upstreamTimeout \(--upstream-timeout\): -1 is no such number\. Allowed: seconds/],
    [{ upstream: 'http://a', upstreamTimeout: NaN }, /is no such number/],
    [{ upstream: 'http://a', fastify: { trustProxy: 'foo' } }, /^trustProxy \(--trust-proxy\): "foo" has an invalid IP address: foo\./],
    [{ upstream: 'http://a', fastify: { trustProxy: '10.0.0.0/99' } }, /invalid range/]
  ]
  for (const [options, message] of cases) t.throws(() => createGateway(options), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message })
  t.throws(() => createGateway({ upstream: 'http://a', fastify: { bodyLimit: 0.5 } }), { code: 'FST_ERR_ROUTE_BODY_LIMIT_OPTION_NOT_INT' }, 'Fastify\'s own as they are')
  const app = createGateway({ upstream: 'http://a', allowedHosts: 'https://x' })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' })
  await t.rejects(loadOptional('leftpad', async () => { throw Object.assign(new Error('missing'), { code: 'ERR_MODULE_NOT_FOUND' }) }), {
    code: 'FST_MLFLOW_SECURITY_MISSING_DEPENDENCY', message: 'The gateway needs leftpad, which is not installed: npm install leftpad (all that it needs: npm install --include=optional)'
  })
  await t.rejects(loadOptional('broken', async () => { throw new Error('broken') }), { message: 'broken' })
})

t.test('MLFLOW_TRACKING_URI names the upstream', async t => {
  const { seen, listener } = recorder()
  process.env.MLFLOW_TRACKING_URI = await upstream(t, listener)
  t.teardown(() => { delete process.env.MLFLOW_TRACKING_URI })
  const { port } = await gateway(t, {})
  await request(port, 'GET', '/x', [HOST])
  t.equal(seen.length, 1)
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
