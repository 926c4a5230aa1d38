import Fastify from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { CREATE_RUN, createApp, createServer, listen, request } from '../fixtures/server.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const OPTIONS_HEADERS = [['Origin', 'http://localhost:3000'], ['Access-Control-Request-Method', 'POST']] as const

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

type Hook = (request: object, reply: object, next: () => void) => void

interface Instance { addHook (name: string, hook: Hook): void }

t.test('a version of @fastify/cors that works otherwise fails loudly, and opens nothing', async t => {
  const withCors = async (cors: (instance: Instance) => void) => {
    const { createCors } = await t.mockImport<typeof import('../../lib/hooks/cors.js')>('../../lib/hooks/cors.js', { '@fastify/cors': cors })
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(mlflowSecurity)
    const policy = { warnings: [], wildcards: [], validatesHost: true, allowsAnyOrigin: false, inspect: () => app.mlflowSecurity.inspect({ headers: {} }), corsAccess: () => 'listed' as const }
    const answer = createCors(app.mlflowSecurity.settings, policy, { of: () => ({}), corsOf: () => undefined })
    app.get('/', (request, reply) => answer(request, reply))
    return app.inject({ url: '/', headers: { origin: 'https://a' } })
  }
  const message = 'This version of @fastify/cors has not one onRequest handler'
  await t.rejects(withCors(() => {}), { message })
  await t.rejects(withCors(instance => { for (let i = 0; i < 2; i++) instance.addHook('onRequest', () => {}) }), { message })
  const late = await withCors(instance => instance.addHook('onRequest', (_request, _reply, next) => { setImmediate(next) }))
  t.match(late.json(), { statusCode: 500, message: 'This version of @fastify/cors does not come back at once' })
})
