// Which requests are let in, over real sockets, and that hostile ones are refused whole.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect as connectHttp2 } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import Fastify from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { CREATE_RUN, createServer, listen, parse, request, send } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const CLOSE = 'Connection: close\r\n'
const POST = `POST ${CREATE_RUN} HTTP/1.1\r\n`

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

t.test('a target that Fastify rewrites is judged as it came', async t => {
  const { app } = createServer(t, {}, { rewriteUrl: ({ url = '' }) => url.replace(/^http:\/\/[^/]+|^\/old/, '') })
  const port = await listen(app)
  t.equal((await request(port, 'GET', 'http://evil.com/', [HOST])).status, 400)
  t.equal((await request(port, 'GET', 'http://localhost/', [HOST])).status, 200)
  t.equal((await request(port, 'GET', '/old/', [HOST])).status, 200)
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
  const session = connectHttp2(app.listeningOrigin.replace('[::1]', '127.0.0.1'))
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

t.test('what smuggles, doubles, folds, overflows or garbles gets 4xx, and the next good request is served', async t => {
  const { app, lines } = createServer(t)
  const created: string[] = []
  app.addHook('preHandler', async request => { if (request.method === 'POST') created.push(request.host) })
  const port = await listen(app)
  const cases: Array<[name: string, text: string]> = [
    ['Content-Length and Transfer-Encoding', `${POST}Host: evil.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n${CLOSE}\r\n0\r\n\r\n`],
    ['two Content-Lengths', `${POST}Host: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n${CLOSE}\r\n`],
    ['a smuggled request in a body', `${POST}Host: evil.com\r\nContent-Length: 44\r\n${CLOSE}\r\nGET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n\r\n`],
    ['white space before the colon of Host', `GET / HTTP/1.1\r\nHost : localhost\r\n${CLOSE}\r\n`],
    ['Host with white space before its name', `GET / HTTP/1.1\r\nAccept: */*\r\n Host: localhost\r\n${CLOSE}\r\n`],
    ['a folded Host', `GET / HTTP/1.1\r\nHost: localhost\r\n evil.com\r\n${CLOSE}\r\n`],
    ['a Host in another line ending', `GET / HTTP/1.1\r\nHost: evil.com\rHost: localhost\r\n${CLOSE}\r\n`],
    ['two Hosts', `GET / HTTP/1.1\r\nHost: localhost\r\nHOST: localhost\r\n${CLOSE}\r\n`],
    ['three Hosts', `GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nhost: evil.com\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['a Host with NUL', `GET / HTTP/1.1\r\nHost: localhost\0.evil.com\r\n${CLOSE}\r\n`],
    ['a Host in UTF-8', `GET / HTTP/1.1\r\nHost: löcalhost\r\n${CLOSE}\r\n`],
    ['a Host with a full-width dot', `GET / HTTP/1.1\r\nHost: localhost。\r\n${CLOSE}\r\n`],
    ['a Host of control characters', `GET / HTTP/1.1\r\nHost: local\x01host\r\n${CLOSE}\r\n`],
    ['a Host of 10,000 characters', `GET / HTTP/1.1\r\nHost: ${'a'.repeat(10_000)}\r\n${CLOSE}\r\n`],
    ['a Host of 10,000 labels', `GET / HTTP/1.1\r\nHost: ${'a.'.repeat(5000)}localhost\r\n${CLOSE}\r\n`],
    ['a Host beyond the parser', `GET / HTTP/1.1\r\nHost: ${'a'.repeat(100_000)}\r\n${CLOSE}\r\n`],
    ['absolute form', `GET http://evil.com/ HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['absolute form with userinfo', `GET http://localhost@evil.com/ HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['absolute form of another scheme', `GET ftp://evil.com/ HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['a relative target', `GET evil.com HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['OPTIONS * of a foreign host', `OPTIONS * HTTP/1.1\r\nHost: evil.com\r\n${CLOSE}\r\n`],
    ['a method in lower case', `post ${CREATE_RUN} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.com\r\n${CLOSE}\r\n`],
    ['two Origins', `${POST}Host: localhost\r\nOrigin: http://localhost\r\nOrigin: https://evil.com\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['a folded Origin', `${POST}Host: localhost\r\nOrigin: http://localhost\r\n https://evil.com\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['an Origin of 10,000 characters', `${POST}Host: localhost\r\nOrigin: http://${'a'.repeat(10_000)}\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['an Origin with NUL', `${POST}Host: localhost\r\nOrigin: http://localhost\0\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['two values of Sec-Fetch-Site', `${POST}Host: localhost\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['a method override', `${POST}Host: localhost\r\nOrigin: https://evil.com\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['an upgrade to h2c', 'GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.com\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n'],
    ['an upgrade with an Origin that is no URL', 'GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n'],
    ['an upgrade with a Host that is none', 'GET / HTTP/1.1\r\nHost: [\r\nOrigin: http://localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n'],
    ['an upgrade of a request that has a body', `${POST}Host: localhost\r\nOrigin: https://evil.com\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nContent-Length: 3\r\n\r\nabc`],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']
  ]
  for (const [name, text] of cases) {
    const { status } = parse(await send(port, text))
    t.ok(status >= 400 && status < 500, `${name}: ${status}`)
    t.equal((await request(port, 'GET', '/', [['Host', 'localhost']])).status, 200, `${name}: the next request`)
  }
  t.same(created, [], 'nothing came through')
  t.notOk(lines.some(({ level }) => level >= 50), 'and nothing went wrong')
})

t.test('CONNECT gets nothing', async t => {
  const { app } = createServer(t)
  const port = await listen(app)
  t.equal(await send(port, 'CONNECT evil.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n'), '')
  t.equal((await request(port, 'GET', '/', [['Host', 'localhost']])).status, 200)
})

/** Node's own parser resets the stream. */
const RESET = 0

t.test('HTTP/2: hosts and origins that garble or contradict', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  app.register(mlflowSecurity)
  app.all('/', (_request, reply) => { reply.send('ok') })
  const session = connectHttp2(await app.listen({ port: 0, host: '127.0.0.1' }))
  t.teardown(() => session.close())
  const ask = (headers: Record<string, string | string[]>) => new Promise<number>(resolve => {
    const stream = session.request({ ':path': '/', ...headers })
    stream.on('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => resolve(headers[':status'] ?? 0))
    stream.on('error', () => resolve(RESET))
    stream.resume().end()
  })
  const local = { ':authority': 'localhost' }
  const cases: Array<[name: string, headers: Record<string, string | string[]>, status: number]> = [
    ['userinfo', { ':authority': 'localhost@evil.com' }, 400],
    ['an escape', { ':authority': 'localhost%00.evil.com' }, 400],
    ['two names in one', { ':authority': 'localhost,evil.com' }, 400],
    ['10,000 characters', { ':authority': 'a'.repeat(10_000) }, 400],
    ['a host that says otherwise', { ...local, host: 'evil.com' }, 400],
    ['an Origin of another site', { ...local, ':method': 'POST', origin: 'https://evil.com' }, 403],
    ['an Origin of two', { ...local, ':method': 'POST', origin: 'http://localhost, https://evil.com' }, 403],
    ['a path that is a URL', { ...local, ':path': 'http://evil.com/' }, RESET]
  ]
  for (const [name, headers, status] of cases) {
    const answer = await ask(headers)
    // Node 22 resets the stream of some authorities itself.
    t.ok(answer === status || (status === 400 && answer === RESET), `${name}: ${answer}`)
    t.equal(await ask(local), 200, `${name}: the next request`)
  }
})

t.test('a server that reads few headers is not asked beyond them: the Origin and a second Host might be there', async t => {
  const { app } = createServer(t)
  app.server.maxHeadersCount = 10
  const port = await listen(app)
  const headers = (count: number) => Array.from({ length: count }, (_, i) => [`X-${i}`, '1'] as const)
  for (const count of [5, 8, 40, 200]) {
    const { status } = await request(port, 'POST', CREATE_RUN, [['Host', 'localhost'], ...headers(count), ['Origin', 'https://evil.com']])
    // Newer Node answers 431 itself.
    t.ok([400, 403, 431].includes(status), `an Origin after ${count} headers: ${status}`)
    const host = await request(port, 'GET', '/', [['Host', 'localhost'], ...headers(count), ['Host', 'evil.com']])
    t.ok([400, 431].includes(host.status), `a Host after ${count} headers: ${host.status}`)
  }
  t.equal((await request(port, 'POST', CREATE_RUN, [['Host', 'localhost'], ...headers(5)])).status, 200)
})

t.test('what throws around it leaves the decision as it is: refused stays refused', async t => {
  const thrown: unknown[] = []
  const onThrown = (error: unknown) => { thrown.push(error) }
  process.on('uncaughtException', onThrown)
  const subscriber = () => { throw new Error('subscriber') }
  subscribe('fastify-mlflow-security.refused', subscriber)
  t.teardown(() => {
    unsubscribe('fastify-mlflow-security.refused', subscriber)
    process.off('uncaughtException', onThrown)
  })
  const { app } = createServer(t, {}, { logger: { level: 'warn', stream: { write () { throw new Error('logger') } } } })
  app.setErrorHandler(() => { throw new Error('error handler') })
  app.addHook('onError', async () => { throw new Error('onError') })
  for (const headers of [{ host: 'evil.com' }, { host: 'a b' }]) {
    const response = await app.inject({ url: '/', headers })
    t.ok(response.statusCode >= 400, String(response.statusCode))
    t.not(response.body, 'ok')
  }
  t.equal((await app.inject('/')).body, 'ok')
  await until(() => thrown.length > 1)
  t.match(thrown, [{ message: 'subscriber' }, { message: 'subscriber' }], "Node reports a subscriber's error outside of the request")
})

t.test('disabled: no check, no header', async t => {
  const { app } = createServer(t, { disableSecurityMiddleware: true })
  const port = await listen(app)
  const response = await request(port, 'POST', CREATE_RUN, [EVIL, ['Origin', 'https://evil.com'], ['Sec-Fetch-Site', 'cross-site']])
  t.equal(response.status, 200)
  for (const name of ['x-content-type-options', 'x-frame-options', 'vary', 'access-control-allow-origin']) t.notOk(name in response.headers, name)
  t.same(app.mlflowSecurity.inspect({ method: 'POST', url: '/', headers: { host: 'evil.com' } }), { allowed: true, rule: 'disabled' })
})
