import { connect } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import Fastify from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { CREATE_RUN, createApp, createServer, listen, parse, request, send } from '../fixtures/server.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const OPTIONS_HEADERS = [['Origin', 'http://localhost:3000'], ['Access-Control-Request-Method', 'POST']] as const

t.test('HTTP/1 requests that name their host strangely', async t => {
  const { app } = createServer(t)
  const port = await listen(app)
  const cases: Array<[name: string, text: string, status: number]> = [
    ['HTTP/1.0 with a Host', 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n', 200],
    ['HTTP/1.0 without a Host', 'GET / HTTP/1.0\r\n\r\n', 400],
    ['HTTP/1.0 without a Host on a health route', 'GET /health HTTP/1.0\r\n\r\n', 200],
    ['HTTP/1.1 without a Host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n', 400],
    ['two Hosts, the first allowed', 'GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 400],
    ['two Hosts, the last allowed', 'GET / HTTP/1.1\r\nHost: evil.com\r\nHost: localhost\r\nConnection: close\r\n\r\n', 400],
    ['two Hosts, both allowed', 'GET / HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\nConnection: close\r\n\r\n', 400],
    ['two Hosts on a health route', 'GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 200],
    ['absolute form', 'GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 200],
    ['absolute form with another authority', 'GET http://evil.com/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 400],
    ['absolute form of a foreign host', 'GET http://evil.com/ HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 403],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 404],
    ['OPTIONS * of a foreign host', 'OPTIONS * HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 403],
    ['a poisoned Host that spells the health route', 'GET / HTTP/1.1\r\nHost: localhost/health\r\nConnection: close\r\n\r\n', 400],
    ['an escaped health route', 'GET /api/%2e%2e/health HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 403],
    ['a health route with a query', 'GET /health?x=/ HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 200],
    ['a longer path than the health route', 'GET /health/x HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 403],
    ['HEAD of a health route', 'HEAD /health HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 200],
    ['a foreign host on no route', 'GET /nowhere HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n', 403],
    ['two Origins, both allowed', `POST ${CREATE_RUN} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:1\r\nOrigin: http://localhost:1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, 403],
    ['a foreign WebSocket', 'GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.com\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n', 403],
    ['a WebSocket of the own page', 'GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n', 200]
  ]
  for (const [name, text, status] of cases) t.equal(parse(await send(port, text)).status, status, name)
})

t.test('a hostile request in a pipeline is refused, and the next good one served', async t => {
  const { app } = createServer(t)
  const port = await listen(app)
  const answer = await send(port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: evil.com\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  t.same(answer.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 403', 'HTTP/1.1 200'])
  t.same(answer.match(/^connection: .*$/gim), ['Connection: keep-alive', 'Connection: keep-alive', 'Connection: close'], 'a refusal alone is no reason to hang up')
})

t.test('every response carries the headers: answers, refusals, 404s, errors, preflights', async t => {
  const { app } = createServer(t, { xFrameOptions: 'DENY' })
  app.get('/error', () => { throw new Error('broken') })
  const port = await listen(app)
  const cases: Array<[name: string, status: number, method: string, target: string, headers: ReadonlyArray<readonly [string, string]>]> = [
    ['an answer', 200, 'GET', '/', [HOST]],
    ['a refused Host', 403, 'GET', '/', [EVIL]],
    ['a malformed Host', 400, 'GET', '/', [['Host', 'a b']]],
    ['a refused Origin', 403, 'POST', CREATE_RUN, [HOST, ['Origin', 'https://evil.com']]],
    ['a 404', 404, 'GET', '/nowhere', [HOST]],
    ['an error', 500, 'GET', '/error', [HOST]],
    ['a preflight', 204, 'OPTIONS', CREATE_RUN, [HOST, ...OPTIONS_HEADERS]],
    ['a body that is too long', 413, 'POST', CREATE_RUN, [HOST, ['Content-Type', 'application/json'], ['Content-Length', '9999999']]]
  ]
  for (const [name, status, method, target, headers] of cases) {
    const response = status === 413
      ? parse(await send(port, `POST ${target} HTTP/1.1\r\n${headers.map(([n, v]) => `${n}: ${v}\r\n`).join('')}Connection: close\r\n\r\n`))
      : await request(port, method, target, headers)
    t.equal(response.status, status, name)
    t.match(response.headers, { 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', vary: /Origin/ }, name)
  }
})

t.test('CORS headers go to allowed Origins only', async t => {
  const { app } = createServer(t, { corsAllowedOrigins: 'https://a', cors: { maxAge: 600, exposedHeaders: ['etag', 'x'] } })
  app.options('/options', (_request, reply) => { reply.send('own') })
  const port = await listen(app)
  const allowed = ['Origin', 'https://a'] as const
  const foreign = ['Origin', 'https://b'] as const
  const asks = ['Access-Control-Request-Method', 'PUT'] as const
  const credentials = { 'access-control-allow-origin': 'https://a', 'access-control-allow-credentials': 'true', 'access-control-expose-headers': 'etag, x' }

  t.match(await request(port, 'GET', '/', [HOST, allowed]), { status: 200, headers: { ...credentials, vary: 'Origin' } })
  t.match(await request(port, 'GET', '/nowhere', [HOST, allowed]), { status: 404, headers: credentials })
  t.match(await request(port, 'OPTIONS', '/', [HOST, allowed, asks, ['Access-Control-Request-Headers', 'x-a, x-b']]), {
    status: 204,
    headers: {
      ...credentials,
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
      'access-control-allow-headers': 'x-a, x-b',
      'access-control-max-age': '600',
      'content-length': '0'
    }
  })
  t.match(await request(port, 'OPTIONS', '/options', [HOST, allowed]), { status: 200, body: 'own', headers: credentials }, 'a bare OPTIONS is the app\'s own')
  t.match(await request(port, 'OPTIONS', '/options', [HOST, foreign]), { status: 200, body: 'own' })
  t.match(await request(port, 'OPTIONS', '/options', [HOST]), { status: 200, body: 'own' })
  t.match(await request(port, 'OPTIONS', '/options', [HOST, asks]), { status: 200, body: 'own' }, 'without an Origin it is no preflight')
  t.match(await request(port, 'OPTIONS', '/options', [HOST, allowed, asks]), { status: 204, body: '' })
  t.equal((await request(port, 'OPTIONS', '/', [HOST, allowed])).status, 404)

  const without = [
    await request(port, 'GET', '/', [HOST]), await request(port, 'GET', '/', [HOST, foreign]), await request(port, 'GET', '/nowhere', [HOST, foreign]),
    await request(port, 'POST', CREATE_RUN, [HOST, foreign]), await request(port, 'OPTIONS', '/', [HOST, foreign, asks]),
    await request(port, 'GET', '/', [EVIL, allowed]), await request(port, 'OPTIONS', '/options', [HOST, foreign])
  ]
  for (const { status, headers } of without) {
    t.same(Object.keys(headers).filter(name => name.startsWith('access-control-')), [], `${status}`)
    t.match(headers.vary, /Origin/)
  }
})

t.test('an app may have a catch-all of its own, before the plugin or after', async t => {
  for (const before of [true, false]) {
    const { app } = createApp(t)
    const addCatchAll = () => app.all('/*', (request, reply) => { reply.send(request.method) })
    if (before) addCatchAll()
    await app.register(mlflowSecurity)
    if (!before) addCatchAll()
    const origin = 'http://localhost:3000'
    const preflight = await app.inject({ method: 'OPTIONS', url: '/x', headers: { origin, 'access-control-request-method': 'PUT' } })
    t.match(preflight, { statusCode: 204, headers: { 'access-control-allow-origin': origin } })
    t.match(await app.inject({ method: 'OPTIONS', url: '/x', headers: { origin } }), { body: 'OPTIONS', headers: { 'access-control-allow-origin': origin } })
    t.equal((await app.inject({ method: 'OPTIONS', url: '/x', headers: { host: 'evil.com' } })).statusCode, 403)
  }
})

t.test('a refusal varies by Origin, beside what the app says', async t => {
  for (const [vary, expected] of [['Accept', 'Accept, Origin'], [['Accept', 'Cookie'], 'Accept, Cookie, Origin'], ['', 'Origin']] as const) {
    const { app } = createApp(t)
    app.addHook('onRequest', async (_request, reply) => { reply.header('vary', vary) })
    await app.register(mlflowSecurity)
    t.match(await app.inject({ url: '/', headers: { host: 'evil.com' } }), { statusCode: 403, headers: { vary: expected } })
  }
})

t.test('every answer varies by Origin, whatever its handler says of Vary', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { corsAllowedOrigins: 'https://a' })
  app.get('/one', (_request, reply) => { reply.header('vary', 'Accept-Language').send('ok') })
  app.get('/many', (_request, reply) => { reply.headers({ vary: ['Accept', 'Cookie'] }).send('ok') })
  app.get('/all', (_request, reply) => { reply.header('vary', '*').send('ok') })
  app.get('/without', { config: { cors: false } }, (_request, reply) => { reply.send('ok') })
  app.get('/error', (_request, reply) => { reply.removeHeader('vary'); throw new Error('broken') })
  for (const origin of ['https://a', undefined]) {
    for (const [url, expected] of [['/one', 'Accept-Language, Origin'], ['/many', 'Accept, Cookie, Origin'], ['/all', '*'], ['/without', 'Origin'], ['/error', 'Origin']] as const) {
      const { headers } = await app.inject({ url, headers: origin === undefined ? {} : { origin } })
      t.equal(headers.vary, expected, `${url}, Origin ${origin}`)
      t.equal(headers['access-control-allow-origin'], url === '/without' ? undefined : origin)
    }
  }
})

t.test('a target that Fastify rewrites is judged as it came', async t => {
  const { app } = createServer(t, {}, { rewriteUrl: ({ url = '' }) => url.replace(/^http:\/\/[^/]+|^\/old/, '') })
  const port = await listen(app)
  t.equal((await request(port, 'GET', 'http://evil.com/', [HOST])).status, 400)
  t.equal((await request(port, 'GET', 'http://localhost/', [HOST])).status, 200)
  t.equal((await request(port, 'GET', '/old/', [HOST])).status, 200)
})

t.test('origins *: everyone reads, nobody with credentials', async t => {
  const { app } = createServer(t, { corsAllowedOrigins: '*' })
  const port = await listen(app)
  const anyone = ['Origin', 'https://anyone.com'] as const
  for (const [method, target, status] of [['GET', '/', 200], ['POST', CREATE_RUN, 200]] as const) {
    const { headers, ...response } = await request(port, method, target, [HOST, anyone])
    t.equal(response.status, status)
    t.match(headers, { 'access-control-allow-origin': '*', vary: 'Origin' })
    t.notOk('access-control-allow-credentials' in headers)
  }
  const preflight = await request(port, 'OPTIONS', '/', [HOST, anyone, ['Access-Control-Request-Method', 'PUT']])
  t.match(preflight, { status: 204, headers: { 'access-control-allow-origin': '*' } })
  t.notOk('access-control-allow-credentials' in preflight.headers)
  t.notOk('access-control-allow-origin' in (await request(port, 'GET', '/', [HOST])).headers, 'no Origin, no CORS header')
})

t.test('preflights may be passed on to the app, with another status, or not be answered at all', async t => {
  const asks = [HOST, ...OPTIONS_HEADERS]
  const passed = createServer(t, { cors: { preflightContinue: true } })
  passed.app.options('/options', (_request, reply) => { reply.send('own') })
  const passedPort = await listen(passed.app)
  t.match(await request(passedPort, 'OPTIONS', '/options', asks), { status: 200, body: 'own', headers: { 'access-control-allow-methods': /PUT/ } })
  t.match(await request(passedPort, 'OPTIONS', '/', asks), { status: 404, headers: { 'access-control-allow-methods': /PUT/ } }, 'an app without a route for it')
  const other = createServer(t, { cors: { optionsSuccessStatus: 200 } })
  t.match(await request(await listen(other.app), 'OPTIONS', '/', asks), { status: 200, body: '' })
  const none = createServer(t, { cors: { preflight: false } })
  t.match(await request(await listen(none.app), 'OPTIONS', '/', asks), { status: 404 })
})

t.test('disabled: no check, no header', async t => {
  const { app } = createServer(t, { disableSecurityMiddleware: true })
  const port = await listen(app)
  const response = await request(port, 'POST', CREATE_RUN, [EVIL, ['Origin', 'https://evil.com'], ['Sec-Fetch-Site', 'cross-site']])
  t.equal(response.status, 200)
  for (const name of ['x-content-type-options', 'x-frame-options', 'vary', 'access-control-allow-origin']) t.notOk(name in response.headers, name)
  t.same(app.mlflowSecurity.inspect({ method: 'POST', url: '/', headers: { host: 'evil.com' } }), { allowed: true, rule: 'disabled' })
})

t.test('trustProxy: the forwarded host and the Host must both be allowed', async t => {
  const { app } = createServer(t, { allowedHosts: 'inner,public.com' }, { trustProxy: true })
  const port = await listen(app)
  const inner = ['Host', 'inner'] as const
  const forwarded = (host: string) => ['X-Forwarded-Host', host] as const
  const cases: Array<[name: string, status: number, method: string, headers: ReadonlyArray<readonly [string, string]>]> = [
    ['both allowed', 200, 'GET', [inner, forwarded('public.com')]],
    ['a foreign host forwarded', 403, 'GET', [inner, forwarded('evil.com')]],
    ['a rebound page that sets the header itself', 403, 'GET', [EVIL, forwarded('public.com')]],
    ['a malformed host forwarded', 400, 'GET', [inner, forwarded('public.com@evil.com')]],
    ['the own page, by the forwarded host', 200, 'POST', [inner, forwarded('public.com'), ['Origin', 'https://public.com']]],
    ['the last forwarded host counts', 200, 'POST', [inner, forwarded('evil.com, public.com'), ['Origin', 'https://public.com']]],
    ['a page on the inner name', 403, 'POST', [inner, forwarded('public.com'), ['Origin', 'https://inner']]],
    ['no forwarded host', 200, 'POST', [inner, ['Origin', 'http://inner']]]
  ]
  for (const [name, status, method, headers] of cases) {
    t.equal((await request(port, method, method === 'GET' ? '/' : CREATE_RUN, headers)).status, status, name)
  }
  t.match((await request(port, 'GET', '/', [inner, forwarded('public.com,')])).body, 'there is no X-Forwarded-Host', 'what is missing has a name')
  const untrusting = createServer(t, { allowedHosts: 'inner' })
  t.equal((await request(await listen(untrusting.app), 'GET', '/', [inner, forwarded('evil.com')])).status, 200, 'without trustProxy the header is nothing')
})

t.test('HTTP/2', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  app.register(mlflowSecurity, { allowedHosts: 'mlflow.company.com' })
  for (const url of ['/', '/health', CREATE_RUN]) app.all(url, (_request, reply) => { reply.send('ok') })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(app.listeningOrigin.replace('[::1]', '127.0.0.1'))
  t.teardown(() => session.close())

  const ask = (headers: Record<string, string | string[]>) => new Promise<IncomingHttpHeaders & { ':status'?: number }>((resolve, reject) => {
    const stream = session.request({ ':path': '/', ...headers })
    stream.on('response', resolve)
    stream.on('error', reject)
    stream.resume()
    stream.end()
  })
  const own = { ':authority': 'mlflow.company.com' }
  const cases: Array<[name: string, status: number, headers: Record<string, string | string[]>]> = [
    ['an allowed authority', 200, own],
    ['in capitals, with the port', 200, { ':authority': 'MLFLOW.company.com:443' }],
    ['a foreign authority', 403, { ':authority': 'evil.com' }],
    ['a malformed authority', 400, { ':authority': 'mlflow.company.com,evil.com' }],
    ['a host that agrees', 200, { ...own, host: 'mlflow.company.com' }],
    ['a host that differs', 400, { ...own, host: 'evil.com' }],
    ['an authority that differs', 400, { ':authority': 'evil.com', host: 'mlflow.company.com' }],
    ['a foreign write', 403, { ...own, ':method': 'POST', ':path': CREATE_RUN, origin: 'https://evil.com' }],
    ['a write of the own page', 200, { ...own, ':method': 'POST', ':path': CREATE_RUN, origin: 'https://mlflow.company.com' }],
    ['a health route', 200, { ':authority': 'evil.com', ':path': '/health' }]
  ]
  for (const [name, status, headers] of cases) {
    const response = await ask(headers)
    t.equal(response[':status'], status, name)
    t.equal(response['x-content-type-options'], 'nosniff', name)
  }
})
