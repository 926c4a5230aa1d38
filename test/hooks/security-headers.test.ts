import { connect } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import helmet from '@fastify/helmet'
import Fastify from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { CREATE_RUN, createApp, createServer, listen, parse, request, send } from '../fixtures/server.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const OPTIONS_HEADERS = [['Origin', 'http://localhost:3000'], ['Access-Control-Request-Method', 'POST']] as const
const FOREIGN = ['Origin', 'https://evil.com'] as const
const LISTED = ['Origin', 'https://a'] as const
const HEADERS = { 'x-content-type-options': 'nosniff', 'x-frame-options': 'SAMEORIGIN', vary: 'Origin' }
const CSP = 'content-security-policy'
const FRAME_OPTIONS = 'x-frame-options'

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

t.test('refusals are kept by no cache; what passes is none of our business', async t => {
  const { app } = createServer(t)
  const port = await listen(app)
  const none = { 'cache-control': 'no-store' }
  t.match(await request(port, 'GET', '/', [EVIL]), { status: 403, headers: none })
  t.match(await request(port, 'GET', '/', [['Host', 'a b']]), { status: 400, headers: none })
  t.match(await request(port, 'POST', CREATE_RUN, [HOST, FOREIGN]), { status: 403, headers: none })
  t.match(await request(port, 'OPTIONS', CREATE_RUN, [HOST, FOREIGN, ['Access-Control-Request-Method', 'POST']]), { status: 403, headers: none })
  t.notOk('cache-control' in (await request(port, 'GET', '/', [HOST])).headers)
  const reporting = createServer(t, { reportOnly: true })
  t.notOk('cache-control' in (await request(await listen(reporting.app), 'GET', '/', [EVIL])).headers, 'report only')
})

t.test("what writes to Node's response itself takes the headers from the reply", async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { corsAllowedOrigins: 'https://a', frameAncestors: 'https://nb' })
  app.get('/', (_request, reply) => {
    reply.hijack()
    for (const [name, value = ''] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value)
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.end('data: 1\n\n')
  })
  t.match(await request(await listen(app), 'GET', '/', [HOST, LISTED]), {
    status: 200, headers: { ...HEADERS, 'access-control-allow-origin': 'https://a', [CSP]: "frame-ancestors 'self' https://nb", 'content-type': 'text/event-stream' }
  })
})

t.test('reply.helmet() in a handler: its DENY and its policy stand', async t => {
  const { app } = createApp(t)
  await app.register(helmet, { global: false })
  await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
  app.get('/', async (_request, reply) => {
    await reply.helmet({ frameguard: { action: 'deny' } })
    return 'ok'
  })
  const { headers } = await request(await listen(app), 'GET', '/', [HOST])
  t.match(headers, { [FRAME_OPTIONS]: 'DENY', [CSP]: /^default-src 'self';.*frame-ancestors 'self'/ })
})

t.test("helmet's DENY stands in both orders, whoever answers", async t => {
  for (const helmetFirst of [true, false]) {
    for (const frameAncestors of [undefined, 'https://nb']) {
      const { app } = createApp(t)
      if (helmetFirst) await app.register(helmet, { frameguard: { action: 'deny' } })
      await app.register(mlflowSecurity, { frameAncestors })
      if (!helmetFirst) await app.register(helmet, { frameguard: { action: 'deny' } })
      app.addHook('onRequest', async (request, reply) => request.url === '/private' ? reply.code(401).send('who?') : undefined)
      app.get('/private', () => 'secret')
      app.get('/', () => 'ok')
      const port = await listen(app)
      for (const [url, status] of [['/', 200], ['/private', 401], ['/nowhere', 404]] as const) {
        t.match(await request(port, 'GET', url, [HOST]), { status, headers: { [FRAME_OPTIONS]: 'DENY' } }, `${url}, helmet first: ${helmetFirst}`)
      }
    }
  }
})

t.test("a policy that a hook has set on Fastify's reply gets our sites, or gives way to a route's own frameOptions", async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
  app.addHook('onRequest', async (_request, reply) => { reply.header(CSP, "default-src 'self'; frame-ancestors 'self'") })
  app.get('/', () => 'ok')
  app.get('/deny', { config: { mlflowSecurity: { frameOptions: 'DENY' } } }, () => 'ok')
  const port = await listen(app)
  t.equal((await request(port, 'GET', '/', [HOST])).headers[CSP], "default-src 'self'; frame-ancestors 'self' https://nb")
  t.equal((await request(port, 'GET', '/deny', [HOST])).headers[CSP], "default-src 'self'; frame-ancestors 'none'")
})

t.test("a route's own frameOptions hold where an onRequest hook answers", async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
  await app.register(helmet)
  app.addHook('onRequest', async (_request, reply) => reply.code(401).send('who?'))
  for (const frameOptions of ['DENY', 'SAMEORIGIN', 'NONE'] as const) app.get(`/${frameOptions}`, { config: { mlflowSecurity: { frameOptions } } }, () => 'secret')
  const port = await listen(app)
  t.match(await request(port, 'GET', '/DENY', [HOST]), { status: 401, headers: { [FRAME_OPTIONS]: 'DENY', [CSP]: /frame-ancestors 'none'/ } })
  t.match(await request(port, 'GET', '/SAMEORIGIN', [HOST]), { status: 401, headers: { [FRAME_OPTIONS]: 'SAMEORIGIN', [CSP]: /frame-ancestors 'self';/ } })
  const open = await request(port, 'GET', '/NONE', [HOST])
  t.notOk(FRAME_OPTIONS in open.headers)
  t.notMatch(open.headers[CSP], /frame-ancestors/)
})

t.test('HTTP/2: a method that Node does not know is answered by Fastify without onRequest hooks, and has the headers', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
  app.get('/', () => 'ok')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(app.listeningOrigin)
  t.teardown(() => session.close())
  const answer = await new Promise<IncomingHttpHeaders & { ':status'?: number }>((resolve, reject) => {
    const stream = session.request({ ':method': 'FOO', ':path': '/', ':authority': 'localhost' })
    stream.on('response', resolve).on('error', reject).resume().end()
  })
  t.match(answer, { ':status': 404, ...HEADERS, [CSP]: "frame-ancestors 'self' https://nb" })
})

t.test('what Fastify answers without any hook gets the headers by frameworkErrors, as the documentation has it', async t => {
  const headers = { 'x-content-type-options': 'nosniff', 'x-frame-options': 'SAMEORIGIN' }
  const createFramework = () => createApp(t, {
    frameworkErrors (error, _request, reply) { Reflect.apply(reply.headers(headers).send, reply, [error]) }
  }).app
  const app = createFramework()
  await app.register(mlflowSecurity)
  t.match(await request(await listen(app), 'GET', '/%zz', [HOST]), { status: 400, headers })
  const constrained = createFramework()
  constrained.addConstraintStrategy({
    name: 'broken',
    storage: () => ({ get: () => null, set () {} }),
    deriveConstraint: (_request: unknown, _context: unknown, done?: (error: Error) => void) => { done?.(new Error('broken')) },
    validate () {}
  })
  await constrained.register(mlflowSecurity)
  constrained.get('/', { constraints: { broken: 'x' } }, () => 'ok')
  t.match(await request(await listen(constrained), 'GET', '/', [HOST]), { status: 500, headers })
})
