// The gateway as a plugin of an app, its routes and what they are exempt from, and what a peer may say of itself.
import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { Duplex } from 'node:stream'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import mlflowGateway, { createGateway } from '../../lib/gateway.js'
import type { GatewayOptions } from '../../lib/gateway.js'
import mlflowSecurity from '../../lib/index.js'
import { createApp, listen, logTo, request, send } from '../fixtures/server.js'
import { certificate, gateway, recorder, upstream } from '../fixtures/upstream.js'
import { settled, until } from '../fixtures/until.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const

t.test('the plugin in an app of one\'s own, behind a login', async t => {
  const { seen, listener } = recorder()
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { allowedHosts: 'localhost' })
  app.addHook('onRequest', async ({ headers, routeOptions }) => {
    if (app.mlflowSecurity.settings.healthRoutes.includes(routeOptions.url ?? '')) return
    if (headers.authorization !== 'Basic ok') throw Object.assign(new Error('who are you?'), { statusCode: 401 })
    headers['x-forwarded-user'] = 'ada'
    delete headers.authorization
  })
  app.post('/own', async ({ body }) => body)
  await app.register(mlflowGateway, { upstream: await upstream(t, listener) })
  const port = await listen(app)
  t.equal((await request(port, 'GET', '/', [EVIL])).status, 403, 'the checks come first')
  t.equal((await request(port, 'GET', '/', [HOST])).status, 401)
  t.equal((await request(port, 'GET', '/%68ealth', [HOST])).status, 401, 'no other writing of a health route is exempt')
  t.equal((await request(port, 'GET', '/health', [EVIL])).status, 200)
  seen.length = 0
  t.equal((await request(port, 'GET', '/a', [HOST, ['Authorization', 'Basic ok'], ['X-Forwarded-User', 'eve']])).status, 200)
  t.match(seen, [{ url: '/a', headers: { authorization: undefined, 'x-forwarded-user': 'ada' } }], 'what the login says of the user passes, what the client says does not')
  const own = await fetch(`http://127.0.0.1:${port}/own`, {
    method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json', authorization: 'Basic ok', host: 'localhost' }
  }).catch(() => undefined)
  t.ok(own !== undefined)
})

t.test('routes of the app parse their bodies as ever', async t => {
  const { app } = createApp(t)
  app.post('/own', async ({ body }) => body)
  await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
  const port = await listen(app)
  const json = await fetch(`http://127.0.0.1:${port}/own`, { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } })
  t.same(await json.json(), { a: 1 })
  const other = await fetch(`http://127.0.0.1:${port}/own`, { method: 'POST', body: 'x', headers: { 'content-type': 'application/x-own' } })
  t.equal(other.status, 415, 'what it has no parser for is refused')
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

t.test('an upstream that is away is one sentence a request, and one more when it is back', async t => {
  let isAway = true
  const target = await upstream(t, (_request, response) => { if (isAway) response.destroy(); else response.end('ok') })
  const { port, lines } = await gateway(t, { upstream: target })
  const ask = async () => (await request(port, 'GET', '/', [HOST])).status
  t.strictSame([await ask(), await ask()], [502, 502])
  isAway = false
  t.strictSame([await ask(), await ask()], [200, 200])
  t.match(lines.filter(({ msg }) => /^No answer/.test(String(msg))), [
    { level: 40, code: 'UND_ERR_SOCKET', err: undefined, msg: new RegExp(`${target} does not answer`) }, { level: 40 }
  ])
  t.match(lines.filter(({ msg }) => /answers again/.test(String(msg))), [{ level: 30, msg: `The upstream answers again: ${target}` }])
  t.equal(lines.filter(({ msg }) => /answers again/.test(String(msg))).length, 1)
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

t.test('exemptions are for the path as it is written', async t => {
  const { listener } = recorder()
  const target = await upstream(t, listener)
  for (const [options, path, isExempt] of [
    [{}, '/health', true], [{}, '/health?a=%20', true], [{}, '/%68ealth', false], [{}, '/health%2f..', false], [{}, '//health', false], [{}, '/health/', false],
    [{ staticPrefix: '/user/alice@example.com/proxy/absolute/5000' }, '/user/alice@example.com/proxy/absolute/5000/health', true],
    [{ staticPrefix: "/~a:b*c+(d),!$&'=;e" }, "/~a:b*c+(d),!$&'=;e/health", true], [{ staticPrefix: '/a*b' }, '/aXb/health', false],
    [{ staticPrefix: '/user/a%40b%2A/proxy' }, '/user/a%40b%2A/proxy/health', true], [{ staticPrefix: '/user/a%40b/proxy' }, '/user/a@b/proxy/health', false],
    [{ staticPrefix: '/user/a%40b/proxy' }, '/user/a%40b/proxy/%68ealth', false], [{ staticPrefix: '/user/a%40b/proxy' }, '/user/%61%40b/proxy/health', false],
    [{ staticPrefix: '/user/a%40b/proxy' }, '/user/a%40c/proxy/health', false], [{ staticPrefix: '/user/a@b/proxy' }, '/user/a%40b/proxy/health', false],
    [{ staticPrefix: '/a%2Fb' }, '/a%2Fb/health?c=%20', true], [{ staticPrefix: '/a%2Fb' }, '/a%2fb/health', false], [{ staticPrefix: '/a%2Fb' }, '/a/b/health', false],
    [{ staticPrefix: '/j%20d%C3%B6%F0%9F%98%80%25' }, '/j%20d%C3%B6%F0%9F%98%80%25/version', true], [{ staticPrefix: '/a%25' }, '/a%2525/version', false],
    [{ staticPrefix: '/:a' }, '/b/health', false], [{ staticPrefix: '/...' }, '/.../version', true]
  ] as const) {
    const { port } = await gateway(t, { upstream: target, ...options })
    t.equal((await request(port, 'GET', path, [EVIL])).status, isExempt ? 200 : 403, `${path} ${JSON.stringify(options)}`)
    t.equal((await request(port, 'GET', path, [HOST])).status, 200, `${path} is served`)
  }
  const { port } = await gateway(t, { upstream: target })
  const renderer = '/static-files/lib/notebook-trace-renderer'
  const frames = async (path: string) => (await request(port, 'GET', path, [HOST])).headers['x-frame-options']
  t.equal(await frames(`${renderer}/index.html`), undefined)
  t.equal(await frames(`${renderer}/..%2F..%2Findex.html`), 'SAMEORIGIN')

  const escaped = '/user/a%40b/proxy'
  const below = await gateway(t, { upstream: target, staticPrefix: escaped })
  const framesBelow = async (path: string) => (await request(below.port, 'GET', path, [HOST])).headers['x-frame-options']
  t.equal(await framesBelow(`${escaped}${renderer}/index.html`), undefined)
  for (const path of [`${escaped}${renderer}/..%2F..%2Findex.html`, `/user/a@b/proxy${renderer}/index.html`, `${escaped}/static-files%2Flib/notebook-trace-renderer/index.html`, `${escaped}/`]) {
    t.equal(await framesBelow(path), 'SAMEORIGIN', path)
  }
})

t.test('callback paths take form posts of other sites, and nothing else', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener), callbackPaths: ['/callback, /saml:acs', '/x*y'], staticPrefix: '/mlflow' })
  const origin = ['Origin', 'https://login.example'] as const
  const form = ['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8'] as const
  const post = async (path: string, ...headers: Array<readonly [string, string]>) => request(port, 'POST', path, [HOST, origin, ['Sec-Fetch-Site', 'cross-site'], ...headers])
  for (const path of ['/callback', '/callback?state=%20', '/saml:acs', '/x*y']) {
    const answer = await post(path, form)
    t.equal(answer.status, 200, path)
    t.notOk(answer.headers['access-control-allow-origin'], 'no right to read')
  }
  t.equal(seen.length, 4)
  for (const [path, headers] of [
    ['/callback/', [form]], ['/callback/x', [form]], ['/%63allback', [form]], ['/x1y', [form]], ['/callback', [['Content-Type', 'text/plain']]], ['/callback', []],
    ['/callback', [form, ['Upgrade', 'websocket'], ['Connection', 'upgrade']]], ['/', [form]]
  ] as const) t.equal((await post(path, ...headers)).status, 403, `${path} ${headers.join()}`)
  for (const method of ['PUT', 'OPTIONS'] as const) {
    t.equal((await request(port, method, '/callback', [HOST, origin, form, ['Access-Control-Request-Method', 'POST']])).status, 403, method)
  }
  t.equal((await request(port, 'POST', '/callback', [EVIL, origin, form])).status, 403, 'the Host is checked as ever')
  const escaped = await gateway(t, { upstream: await upstream(t, listener), callbackPaths: '/a%40b/callback', staticPrefix: '/a%40b' })
  for (const [path, status] of [['/a%40b/callback', 200], ['/a@b/callback', 403], ['/a%40b/%63allback', 403]] as const) {
    t.equal((await request(escaped.port, 'POST', path, [HOST, origin, form])).status, status, path)
  }
  t.throws(() => createGateway({ upstream: 'http://a', staticPrefix: '/a%40b', callbackPaths: '/a%40b/api/x' }), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' })
  for (const callbackPaths of ['callback', '/a/../b', '/a%20b', '/a?b', '//a', '/api', '/api/2.0/x', '/ajax-api/x', '/mlflow/api/x', '/mlflow/AJAX-api/x', '/a#b', '/a\\b', '/*/x?']) {
    t.throws(() => createGateway({ upstream: 'http://a', staticPrefix: '/mlflow', callbackPaths }), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message: /^callbackPaths \(--callback-paths\): / }, callbackPaths)
  }
})

t.test('X-Forwarded-* of a trusted proxy pass, those of anyone else do not', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const said = [['X-Forwarded-User', 'ada'], ['X-Forwarded-Prefix', '/x'], ['Forwarded', 'for=a'], ['X_Forwarded_User', 'eve']] as const
  for (const [trustProxy, headers, expected] of [
    ['127.0.0.1', [], true], ['127.0.0.1', [['X-Forwarded-For', '6.6.6.6']], true], ['10.0.0.1', [['X-Forwarded-For', '127.0.0.1']], false], [undefined, [], false]
  ] as const) {
    seen.length = 0
    const { port } = await gateway(t, { upstream: target, ...(trustProxy === undefined ? {} : { fastify: { trustProxy } }) })
    const all = [HOST, ...said, ...headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
    await send(port, `GET / HTTP/1.1\r\n${all}\r\nGET / HTTP/1.1\r\n${all}Connection: close\r\n\r\n`)
    t.equal(seen.length, 2)
    for (const { headers } of seen) {
      t.match(headers, expected ? { 'x-forwarded-user': 'ada', 'x-forwarded-prefix': '/x', forwarded: 'for=a' } : { 'x-forwarded-user': undefined, 'x-forwarded-prefix': undefined, forwarded: undefined }, String(trustProxy))
      t.notOk(headers['x_forwarded_user'])
    }
  }
})

t.test('disabled: the upstream judges for itself; reportOnly: it is said that nobody does', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const off = await gateway(t, { upstream: target, disableSecurityMiddleware: true, reportOnly: true })
  const headers = [EVIL, ['Origin', 'https://evil.com'], ['Sec-Fetch-Site', 'cross-site']] as const
  t.equal((await request(off.port, 'POST', '/', headers)).status, 200)
  t.match(seen, [{ headers: { host: 'evil.com', origin: 'https://evil.com', 'sec-fetch-site': 'cross-site', 'x-forwarded-host': 'evil.com' } }])
  t.match(await request(off.port, 'GET', '/', [HOST, EVIL]), { status: 400, body: /DOUBLED_HOST/ })
  t.equal((await send(off.port, 'GET / HTTP/1.0\r\n\r\n')).split(' ')[1], '200', 'HTTP/1.0 needs no Host')
  t.notOk(off.lines.some(({ msg }) => /nobody refuses/.test(msg)))
  const trial = await gateway(t, { upstream: target, reportOnly: true })
  t.ok(trial.lines.some(({ level, msg }) => level === 40 && /its own checks pass everything/.test(msg)))
  t.notOk((await gateway(t, { upstream: target })).lines.some(({ level }) => level === 40))
})

interface Http2Answer {
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly trailers: IncomingHttpHeaders
  readonly hints: IncomingHttpHeaders[]
}

async function askHttp2 (session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Http2Answer> {
  const stream = session.request(headers, { endStream: body === undefined })
  const hints: IncomingHttpHeaders[] = []
  let trailers: IncomingHttpHeaders = {}
  stream.on('headers', hint => { hints.push(hint) }).on('trailers', sent => { trailers = sent })
  if (body !== undefined) stream.end(body)
  const [answered] = await once(stream, 'response')
  let text = ''
  for await (const chunk of stream) text += chunk
  return { headers: answered, body: text, trailers, hints }
}

async function secure (
  t: Test, options: GatewayOptions
): Promise<{ port: number, cert: string, session: ClientHttp2Session, close (): Promise<void> }> {
  const tls = certificate()
  const { logger } = logTo()
  const app = createGateway({ ...options, tls, fastify: { logger } })
  const port = await listen(app)
  const session = connectHttp2(`https://127.0.0.1:${port}`, { ca: tls.cert })
  t.teardown(() => { session.destroy() })
  return { port, cert: tls.cert, session, close: async () => { await app.close() } }
}

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

/** In HTTP/2 Node throws on the first four, in a callback of its own. */
const HOSTILE_TRAILERS: Array<[string, string]> = [
  ['Connection', 'x'], ['Keep-Alive', 'timeout=1'], ['Transfer-Encoding', 'gzip'], ['Upgrade', 'h2c'],
  ['X-Frame-Options', 'ALLOWALL'], ['Access-Control-Allow-Origin', '*'], ['X-Sum', '1']
]

t.test('HTTP/2 with a certificate: cookies joined, bodies, doubles, trailers and hints, beside HTTP/1.1', async t => {
  const { seen, listener } = recorder(response => {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    response.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Trailer', 'x-sum'])
    response.write('ok')
    response.addTrailers([['X-Sum', '1']])
    response.end()
  })
  const { port, cert, session, close } = await secure(t, { upstream: await upstream(t, listener), frameAncestors: 'https://nb' })
  const answer = await askHttp2(session, { ':path': '/a', ':method': 'PUT', cookie: ['a=b', 'c=d'], 'content-type': 'text' }, 'body')
  t.match(seen, [{ method: 'PUT', url: '/a', body: 'body', headers: { cookie: /^a=b; c=d$/, 'x-forwarded-proto': 'https', 'x-forwarded-host': `127.0.0.1:${port}`, 'content-type': 'text' } }])
  t.match(answer, {
    headers: { ':status': 200, 'set-cookie': ['a=1', 'b=2'], 'x-frame-options': 'SAMEORIGIN', 'content-security-policy': "frame-ancestors 'self' https://nb" },
    body: 'ok',
    trailers: { 'x-sum': '1' },
    hints: [{ ':status': 103, link: '</a.css>; rel=preload' }]
  })
  t.equal((await askHttp2(session, { ':path': '/', ':authority': 'evil.com' })).headers[':status'], 403)
  t.match(await askHttp2(session, { ':path': '/b' }), { headers: { ':status': 200 }, body: 'ok' }, 'a GET has no body')
  t.notOk(seen.at(-1)?.headers['transfer-encoding'])

  const socket = connectTls({ port, host: '127.0.0.1', ca: cert, ALPNProtocols: ['http/1.1'] })
  socket.write('GET /c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  t.match(text, /HTTP\/1\.1 200 OK/)
  await close()
  t.pass('it ends, with a session open')
})

t.test('HTTP/2: an answer that breaks off resets its stream alone, and a client that hangs up ends its request', async t => {
  const closed: string[] = []
  const target = await upstream(t, (request, response) => {
    response.on('close', () => { closed.push(request.url ?? '') })
    if (request.url === '/ok') { response.end('ok'); return }
    response.writeHead(200, { 'content-length': '100' }).write('begun')
    if (request.url === '/breaks') setTimeout(() => response.destroy(), 50)
  })
  const { session, close } = await secure(t, { upstream: target })
  await t.rejects(askHttp2(session, { ':path': '/breaks' }), { code: 'ERR_HTTP2_STREAM_ERROR' })
  const stream = session.request({ ':path': '/waits' })
  await once(stream, 'data')
  stream.close(constants.NGHTTP2_CANCEL)
  await until(() => closed.includes('/waits'))
  t.match(await askHttp2(session, { ':path': '/ok' }), { body: 'ok' }, 'the session lives on')
  await close()
})

t.test('HTTP/2: a stream that is reset while a hook waits asks the upstream for nothing', async t => {
  const { seen, listener } = recorder()
  let waiting = (): void => {}
  const { session, close } = await secure(t, {
    upstream: await upstream(t, listener),
    before: app => {
      app.addHook('preHandler', async ({ url, raw }) => {
        if (url !== '/gone') return
        await new Promise<void>(resolve => { raw.once('close', resolve); waiting() })
      })
    }
  })
  const begun = new Promise<void>(resolve => { waiting = resolve })
  const stream = session.request({ ':path': '/gone' })
  stream.on('error', () => {})
  await begun
  stream.close(constants.NGHTTP2_CANCEL)
  await once(stream, 'close')
  t.match(await askHttp2(session, { ':path': '/' }), { body: 'ok' }, 'the session lives on')
  t.strictSame(seen.map(({ url }) => url), ['/'])
  await close()
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

t.test('WebSockets over TLS', async t => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => sockets.close())
  await once(sockets, 'listening')
  sockets.on('connection', socket => { socket.on('message', data => { socket.send(`echo ${String(data)}`) }) })
  const address = sockets.address()
  const { port, cert, close } = await secure(t, { upstream: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` })
  const client = new WebSocket(`wss://127.0.0.1:${port}/`, { ca: cert })
  await once(client, 'open')
  client.send('hello')
  const [message] = await once(client, 'message')
  t.equal(String(message), 'echo hello')
  const ended = once(client, 'close')
  await close()
  await ended
})

t.test('HTTP/2: a head that Node will not send is a 502 in its place, whole', async t => {
  const target = await upstream(t, (request, response) => {
    if (request.url === '/dated') { response.writeHead(200, ['Date', 'a', 'Date', 'b']).end('ok'); return }
    if (request.url === '/open') { response.writeHead(302, ['Location', '/a', 'Location', '/b']).write('begun'); return }
    response.writeHead(302, request.url === '/doubled' ? ['Location', '/a', 'Location', '/b', 'X-Up', '1', 'Content-Length', '2'] : ['Location', '/a', 'Content-Length', '2']).end('ok')
  })
  const { session, close } = await secure(t, { upstream: target })
  const answer = await askHttp2(session, { ':path': '/doubled' })
  t.match(answer, { headers: { ':status': 502, location: undefined, 'x-up': undefined, 'content-type': /json/ }, body: 'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE' })
  t.equal(answer.headers['content-length'], String(answer.body.length))
  t.match(await askHttp2(session, { ':path': '/open' }), { headers: { ':status': 502, location: undefined } }, 'nor while the body is still coming')
  const dated = await askHttp2(session, { ':path': '/dated' })
  t.match(dated, { headers: { ':status': 502 }, body: 'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE' }, 'a second Date neither')
  t.ok(Date.parse(String(dated.headers.date)) > 0, 'the error has its own')
  t.match(await askHttp2(session, { ':path': '/' }), { headers: { ':status': 302, location: '/a' }, body: 'ok' }, 'the session lives on')
  await close()
})

t.test('HTTP/2: CONNECT, with a protocol (RFC 8441) or without, and methods that nobody knows are refused, and the session lives on', async t => {
  const { seen, listener } = recorder()
  const { port, session, close } = await secure(t, { upstream: await upstream(t, listener) })
  const authority = `127.0.0.1:${port}`
  if (session.remoteSettings.maxConcurrentStreams === undefined) await once(session, 'remoteSettings')
  t.notOk(session.remoteSettings.enableConnectProtocol, 'no browser tries a WebSocket this way')
  const socket = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', ':scheme': 'https', ':authority': authority, 'sec-websocket-version': '13' })
  const [error] = await once(socket, 'error')
  t.match(error, { code: 'ERR_HTTP2_STREAM_ERROR', message: /PROTOCOL_ERROR/ })
  const tunnel = session.request({ ':method': 'CONNECT', ':authority': authority })
  const [headers] = await once(tunnel, 'response')
  t.equal(headers[':status'], 405)
  tunnel.destroy()
  for (const method of ['FOO', 'PROPFIND', 'get', '__proto__']) {
    t.match(await askHttp2(session, { ':method': method, ':path': '/' }), { headers: { ':status': 404, 'x-content-type-options': 'nosniff' } }, method)
    const foreign = await askHttp2(session, { ':method': method, ':path': '/', ':authority': 'evil.com' })
    t.equal(foreign.headers[':status'], method === 'PROPFIND' ? 403 : 404, 'Node knows this one, and the hooks see it')
  }
  t.strictSame(seen, [])
  t.match(await askHttp2(session, { ':path': '/' }), { headers: { ':status': 200 }, body: 'ok' })
  await close()
})

t.test('HTTP/2: streams that are reset at once, by the thousand, cost neither the gateway nor the upstream much', async t => {
  const load = { running: 0, most: 0 }
  const target = await upstream(t, (request, response) => {
    if (request.url === '/ok') { response.end('ok'); return }
    load.most = Math.max(load.most, ++load.running)
    response.once('close', () => { load.running-- })
  })
  let asked = 0
  const { port, cert, session, close } = await secure(t, {
    upstream: target, before: app => { app.addHook('onRequest', async () => { asked++ }) }
  })
  session.on('error', () => {})
  const closed = new Promise<void>(resolve => { session.once('close', resolve) })
  const one = async (): Promise<void> => {
    const stream = session.request({ ':path': '/reset' })
    stream.on('error', () => {})
    stream.close(constants.NGHTTP2_CANCEL)
    await new Promise(resolve => { stream.once('close', resolve) })
    ended++
  }
  let ended = 0
  // Newer Node takes no more than a thousand resets of a session, and leaves it as it is then.
  for (let i = 0; i < 20 && !session.destroyed; i++) {
    await Promise.race([closed, Promise.all(Array.from({ length: 100 }, one)), settled(() => ended)])
  }
  await until(() => load.running === 0) // no request of them goes on at the upstream
  t.ok(asked > 100, `${asked} have come to the gateway`)
  t.ok(load.most <= 200, `${load.most} at a time at most`)
  const other = connectHttp2(`https://127.0.0.1:${port}`, { ca: cert })
  t.teardown(() => { other.destroy() })
  t.match(await askHttp2(other, { ':path': '/ok' }), { body: 'ok' }, 'others are served')
  other.close()
  session.destroy()
  await close()
})

t.test('an offer of h2c over TLS is served as it is', async t => {
  const { seen, listener } = recorder()
  const { port, cert, close } = await secure(t, { upstream: await upstream(t, listener) })
  const socket = connectTls({ port, host: '127.0.0.1', ca: cert, ALPNProtocols: ['http/1.1'] })
  socket.write('GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  t.match(text, /^HTTP\/1\.1 200 OK/)
  t.match(seen, [{ url: '/a', headers: { upgrade: undefined, 'x-forwarded-proto': 'https' } }])
  await close()
})

t.test('an upgrade on what is no socket of the network is closed', async t => {
  const { app } = createApp(t)
  await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
  await listen(app)
  const duplex = new Duplex({ read () {}, write (_chunk, _encoding, done) { done() } })
  const closed = once(duplex, 'close')
  app.server.emit('connection', duplex)
  duplex.push('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await closed
  t.ok(duplex.destroyed)
})

t.test('HTTP/2: the head of an answer goes out when it comes', async t => {
  let end = (): void => {}
  const target = await upstream(t, (_request, response) => { response.flushHeaders(); end = () => { response.end('late') } })
  const { session, close } = await secure(t, { upstream: target })
  const stream = session.request({ ':path': '/' })
  const [headers] = await once(stream, 'response')
  t.equal(headers[':status'], 200, 'before there is a body')
  end()
  let text = ''
  for await (const chunk of stream) text += chunk
  t.equal(text, 'late')
  await close()
})
