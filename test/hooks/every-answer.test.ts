import { connect } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import type { IncomingMessage, ServerResponse } from 'node:http'
import express from '@fastify/express'
import helmet from '@fastify/helmet'
import middie from '@fastify/middie'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { CREATE_RUN, createApp, createServer, listen, request } from '../fixtures/server.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const LISTED = ['Origin', 'https://a'] as const
const FOREIGN = ['Origin', 'https://evil.com'] as const
const HEADERS = { 'x-content-type-options': 'nosniff', 'x-frame-options': 'SAMEORIGIN', vary: 'Origin' }
const FRAME_OPTIONS = 'x-frame-options'
const CSP = 'content-security-policy'

t.test('a web Response: its own Vary and Content-Security-Policy are joined with ours', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { corsAllowedOrigins: 'https://a', frameAncestors: 'https://nb' })
  const directive = "frame-ancestors 'self' https://nb"
  const responses: Array<[url: string, headers: Record<string, string>, expected: object]> = [
    ['/plain', {}, { vary: 'Origin', [CSP]: directive }],
    ['/vary', { vary: 'Accept' }, { vary: 'Origin, Accept', [CSP]: directive }],
    ['/origin', { vary: 'Accept, ORIGIN' }, { vary: 'Origin, Accept' }],
    ['/all', { vary: '*' }, { vary: /\*/ }],
    ['/policy', { [CSP]: "default-src 'self'" }, { [CSP]: `default-src 'self'; ${directive}` }],
    ['/nobody', { [CSP]: "frame-ancestors 'none'" }, { [CSP]: "frame-ancestors 'none'" }],
    ['/frames', { [FRAME_OPTIONS]: 'DENY' }, { [FRAME_OPTIONS]: 'DENY' }]
  ]
  for (const [url, headers] of responses) {
    app.get(url, async () => new Response('body', { status: 201, headers: { ...headers, 'content-type': 'text/x', 'set-cookie': 'c=1' } }))
  }
  const port = await listen(app)
  for (const [url, , expected] of responses) {
    t.match(await request(port, 'GET', url, [HOST, LISTED]), {
      status: 201,
      body: /body/,
      headers: { ...HEADERS, vary: /Origin|\*/, 'access-control-allow-origin': 'https://a', 'content-type': 'text/x', 'set-cookie': 'c=1', ...expected }
    }, url)
  }
})

t.test('what fetch() has brought is passed on, its Vary joined', async t => {
  const upstream = createApp(t).app
  upstream.get('/', (_request, reply) => { reply.header('vary', 'Accept').header('set-cookie', ['a=1', 'b=2']).send('from there') })
  const from = await listen(upstream)
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  app.get('/', async () => fetch(`http://127.0.0.1:${from}/`, { headers: { connection: 'close' } }))
  app.get('/used', async () => {
    const response = new Response('body', { headers: { vary: 'Accept' } })
    await response.text()
    return response
  })
  app.get('/error', async () => Response.error())
  const port = await listen(app)
  const { headers, body, status } = await request(port, 'GET', '/', [HOST])
  t.match({ headers, body, status }, { status: 200, headers: { vary: 'Origin, Accept', 'set-cookie': 'a=1, b=2', 'x-frame-options': 'SAMEORIGIN' }, body: /from there/ })
  for (const url of ['/used', '/error']) t.match(await request(port, 'GET', url, [HOST]), { status: 500, headers: HEADERS }, `${url}: Fastify's own error`)
})

t.test('a Response that others keep stays as it is', async t => {
  const kept = new Response(null, { status: 204, headers: { vary: 'Accept' } })
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  app.get('/', async () => kept)
  const port = await listen(app)
  for (let i = 0; i < 2; i++) t.match(await request(port, 'GET', '/', [HOST]), { status: 204, headers: { vary: 'Origin, Accept' } })
  t.equal(kept.headers.get('vary'), 'Accept')
})

const middleware: Array<[name: string, plugin: typeof middie | typeof express]> = [['@fastify/middie', middie], ['@fastify/express', express]]
for (const [name, plugin] of middleware) {
  t.test(`${name}: what middleware answers itself has the headers, and foreign requests do not get to it`, async t => {
    const reached: string[] = []
    const answer = ({ headers }: IncomingMessage, response: ServerResponse) => {
      reached.push(String(headers.host))
      response.writeHead(200, { 'Content-Type': 'text/plain' })
      response.end('from middleware')
    }
    for (const encapsulated of [false, true]) {
      const { app } = createApp(t)
      await app.register(mlflowSecurity, { corsAllowedOrigins: 'https://a', frameAncestors: 'https://nb' })
      const setUp = async (app: FastifyInstance) => {
        await app.register(plugin)
        app.use('/mw', answer)
        app.get('/mw', () => 'route')
        app.get('/other', () => 'route')
      }
      if (encapsulated) app.register(setUp)
      else await setUp(app)
      const port = await listen(app)
      const headers = { ...HEADERS, [CSP]: "frame-ancestors 'self' https://nb" }
      t.match(await request(port, 'GET', '/mw', [HOST]), { status: 200, body: /from middleware/, headers })
      t.match(await request(port, 'GET', '/mw', [HOST, LISTED]), { headers: { ...headers, 'access-control-allow-origin': 'https://a', 'access-control-allow-credentials': 'true' } })
      const foreign = await request(port, 'GET', '/mw', [HOST, FOREIGN])
      t.notOk(Object.keys(foreign.headers).some(name => name.startsWith('access-control')))
      t.match(await request(port, 'GET', '/other', [HOST]), { body: 'route', headers })
      reached.length = 0
      t.equal((await request(port, 'GET', '/mw', [EVIL])).status, 403)
      t.same(reached, [], 'refused before any middleware')
    }
  })
}

t.test('middleware that was there before the plugin answers before any check: a warning says so', async t => {
  for (const encapsulated of [false, true]) {
    const { app, lines } = createApp(t)
    if (encapsulated) await app.register(async child => { await child.register(async inner => { await inner.register(middie) }) })
    else await app.register(middie)
    await app.register(mlflowSecurity)
    t.match(lines.filter(({ level }) => level === 40), [{ msg: /^Middleware was registered before fastify-mlflow-security/ }], `encapsulated: ${encapsulated}`)
  }
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
