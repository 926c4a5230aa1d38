// On which instances of an app the plugin is registered, beside what; and what Fastify has no public way for: each of those says
// what breaks if Fastify keeps it elsewhere.
import cors from '@fastify/cors'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { hasRoutes, lineage, refuseSecondCors } from '../../lib/hooks/instance.js'
import mlflowSecurity from '../../lib/index.js'
import { createApp, createServer } from '../fixtures/server.js'

const evil = { host: 'evil.com' }

t.test('registered inside a prefix, it protects the whole server', async t => {
  const { app } = createApp(t)
  app.register(async app => { app.get('/early', () => 'ok') }, { prefix: '/other' })
  app.register(async app => {
    await app.register(mlflowSecurity, { corsAllowedOrigins: 'https://a' })
    app.get('/inside', () => 'ok')
    t.throws(() => app.get('/wrong', { config: { mlflowSecurity: JSON.parse('true') } }, () => 'ok'), { code: 'FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG' })
  }, { prefix: '/api' })
  app.register(async app => { app.get('/late', () => 'ok') }, { prefix: '/other' })
  app.get('/', () => 'ok')
  await app.ready()
  for (const url of ['/api/inside', '/other/early', '/other/late', '/']) {
    t.equal((await app.inject({ url, headers: evil })).statusCode, 403, url)
    t.match(await app.inject({ url, headers: { origin: 'https://a' } }), { statusCode: 200, headers: { 'access-control-allow-origin': 'https://a', 'x-frame-options': 'SAMEORIGIN' } }, url)
    t.equal((await app.inject({ method: 'OPTIONS', url, headers: { origin: 'https://a', 'access-control-request-method': 'PUT' } })).statusCode, 204, url)
  }
  t.equal((await app.inject({ url: '/nowhere', headers: evil })).statusCode, 403)
  t.ok(app.hasDecorator('mlflowSecurity'))
})

t.test('Fastify knows it by name, and for which Fastify it is', async t => {
  const { app } = createServer(t)
  await app.ready()
  t.ok(app.hasPlugin('fastify-mlflow-security'))
  t.match(Reflect.get(mlflowSecurity, Symbol.for('plugin-meta')), { fastify: '5.x' })
})

t.test('registered twice, on whichever instances: a coded error', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  await t.rejects(async () => app.register(mlflowSecurity), { code: 'FST_MLFLOW_SECURITY_ALREADY_REGISTERED', message: /is registered already.*Register it once/ })
  const nested = createApp(t).app
  nested.register(async app => { await app.register(mlflowSecurity) })
  nested.register(async app => { await app.register(mlflowSecurity) })
  await t.rejects(async () => nested.ready(), { code: 'FST_MLFLOW_SECURITY_ALREADY_REGISTERED' })
})

t.test('@fastify/cors is registered already: a coded error that says how to pass its options', async t => {
  const { app } = createApp(t)
  await app.register(cors, { maxAge: 600 })
  await t.rejects(async () => app.register(mlflowSecurity), { code: 'FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED', message: /^@fastify\/cors .*is registered already.*\{ cors: \{ maxAge: 600/ })
  t.notOk(app.hasDecorator('mlflowSecurity'))
})

t.test('@fastify/cors is registered already in an encapsulated plugin, this one or another', async t => {
  for (const prefix of [undefined, '/api']) {
    const same = createApp(t).app
    same.register(async app => {
      await app.register(cors)
      await app.register(mlflowSecurity)
    }, prefix === undefined ? {} : { prefix })
    await t.rejects(async () => same.ready(), { code: 'FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED' }, `prefix ${prefix}`)
  }
  for (const prefix of ['/', '/api', '/api/v1']) {
    const other = createApp(t).app
    other.register(async app => { app.register(async app => { await app.register(cors) }) }, { prefix })
    other.get('/*', () => 'a catch-all')
    other.register(mlflowSecurity)
    await t.rejects(async () => other.ready(), { code: 'FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED' }, `in another one, below ${prefix}`)
  }
})

t.test('disabled, it leaves CORS to the app', async t => {
  const { app } = createApp(t)
  await app.register(cors, { origin: 'https://a' })
  await app.register(mlflowSecurity, { disableSecurityMiddleware: true })
  app.get('/', () => 'ok')
  t.match(await app.inject({ url: '/', headers: evil }), { statusCode: 200, headers: { 'access-control-allow-origin': 'https://a' } })
})

t.test("an app's own OPTIONS * is not taken for @fastify/cors", async t => {
  const { app } = createApp(t)
  app.options('/*', (_request, reply) => { reply.send('own') })
  await app.register(mlflowSecurity)
  t.equal((await app.inject({ method: 'OPTIONS', url: '/x' })).body, 'own')
})

t.test('a Fastify that lists its encapsulated instances elsewhere is refused, so that none of them goes unseen', async t => {
  const unknown: FastifyInstance = Object.create(createApp(t).app)
  const message = /This version of Fastify does not list its encapsulated instances/
  t.throws(() => refuseSecondCors({ root: unknown, instances: [unknown] }), { message })
})

t.test('an app has routes, or has none', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  t.equal(hasRoutes(app), false, 'Fastify prints its tree of routes as it did')
  app.get('/', async () => '')
  t.equal(hasRoutes(app), true)
})

t.test('an instance is found in its lineage, the root last', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(async outer => {
    outer.register(async inner => { t.strictSame(lineage(inner).instances, [inner, outer, app]) })
  })
  await app.ready()
  t.equal(lineage(app).root, app)
  const unknown: FastifyInstance = Object.create(null)
  t.throws(() => lineage(unknown), { message: /^This version of Fastify does not keep its server/ })
})
