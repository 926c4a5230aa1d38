import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import staticFiles from '@fastify/static'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { refuseSecondCors } from '../../lib/hooks/instance.js'
import { ended, says, startNode } from '../fixtures/programs.js'
import { createApp, createServer, listen, request, upgrade } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const LOCALHOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const evil = { host: 'evil.com' }

t.test('@fastify/websocket: a foreign page gets no socket', async t => {
  const { app } = createApp(t)
  app.register(mlflowSecurity)
  app.register(websocket)
  app.register(async app => { app.get('/ws', { websocket: true }, () => {}) })
  const port = await listen(app)
  t.equal(await upgrade(port, '/ws', [LOCALHOST, ['Origin', 'http://localhost']]), 101)
  t.equal(await upgrade(port, '/ws', [LOCALHOST]), 101)
  t.equal(await upgrade(port, '/ws', [LOCALHOST, ['Origin', 'https://evil.com']]), 403)
  t.equal(await upgrade(port, '/ws', [EVIL, ['Origin', 'http://evil.com']]), 403)
  await app.close() // would wait for ever on the sockets of refused upgrades
  t.pass('refused WebSockets leave no socket behind')
})

t.test('a refused WebSocket is hung up on, even where its page never does', async t => {
  const { app } = createApp(t)
  app.register(mlflowSecurity)
  app.register(websocket)
  const port = await listen(app)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: evil.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await once(socket.resume(), 'end')
  await until(async () => await promisify(app.server.getConnections).call(app.server) === 0)
  t.pass('the server has no connection left')
})

t.test('a preflight that asks for an upgrade leaves no socket behind', async t => {
  const { app } = createApp(t)
  app.register(mlflowSecurity)
  app.register(websocket)
  app.register(async app => { app.get('/ws', { websocket: true }, () => {}) })
  const port = await listen(app)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.write('OPTIONS /ws HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\nAccess-Control-Request-Method: GET\r\n' +
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 204 [^]*\r\nconnection: close\r\n/i)
  await once(socket, 'end')
  await app.close()
  t.pass('and keeps no server from closing')
})

t.test('@fastify/static: files are protected like everything else', async t => {
  const { app } = createServer(t)
  app.register(staticFiles, { root: t.testdir({ 'a.txt': 'content' }), prefix: '/files/' })
  t.match(await app.inject('/files/a.txt'), { statusCode: 200, body: 'content', headers: { 'x-frame-options': 'SAMEORIGIN' } })
  t.equal((await app.inject({ url: '/files/a.txt', headers: evil })).statusCode, 403)
  t.equal((await app.inject({ url: '/files/none.txt', headers: evil })).statusCode, 403)
})

t.test('@fastify/rate-limit in both orders: its own refusals carry our headers', async t => {
  for (const first of [true, false]) {
    const { app } = createApp(t)
    if (first) await app.register(rateLimit, { max: 1 })
    await app.register(mlflowSecurity)
    if (!first) await app.register(rateLimit, { max: 1 })
    app.get('/', (_request, reply) => { reply.send('ok') })
    t.equal((await app.inject({ url: '/', headers: evil })).statusCode, 403)
    t.equal((await app.inject('/')).statusCode, 200, 'a refused Host does not count')
    t.match(await app.inject('/'), { statusCode: 429, headers: { 'x-frame-options': 'SAMEORIGIN', 'x-content-type-options': 'nosniff', vary: 'Origin' } })
  }
})

t.test('setNotFoundHandler: a foreign Host does not get to it', async t => {
  const { app } = createServer(t)
  app.setNotFoundHandler((_request, reply) => { reply.code(404).send('own 404') })
  t.match(await app.inject('/nowhere'), { statusCode: 404, body: 'own 404', headers: { 'x-frame-options': 'SAMEORIGIN' } })
  t.equal((await app.inject({ url: '/nowhere', headers: evil })).statusCode, 403)
})

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

t.test('disabled, it leaves CORS to the app', async t => {
  const { app } = createApp(t)
  await app.register(cors, { origin: 'https://a' })
  await app.register(mlflowSecurity, { disableSecurityMiddleware: true })
  app.get('/', () => 'ok')
  t.match(await app.inject({ url: '/', headers: evil }), { statusCode: 200, headers: { 'access-control-allow-origin': 'https://a' } })
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

t.test('fastify-cli: flags reach the plugin, and the whole server is protected', async t => {
  const file = `${t.testdir({})}/app.mjs`
  writeFileSync(file, `
import mlflowSecurity from '${ROOT}dist/index.js'
export default async function app (fastify, options) {
  fastify.register(mlflowSecurity, options)
  fastify.get('/', async () => 'ok')
}`)
  // fastify-cli takes 0 for no port at all.
  const probe = createApp(t).app
  const free = await listen(probe)
  await probe.close()
  const start = (...flags: string[]) => startNode(t, [
    `${ROOT}node_modules/fastify-cli/cli.js`, 'start', file, '--address', '127.0.0.1', '--port', String(free), '--log-level', 'info', '--', ...flags
  ])

  const server = start('--allowed-hosts', 'mlflow.company.com', '--allowed-hosts', 'localhost:*,10.*', '--x-frame-options', 'DENY', '--cors-allowed-origins', 'https://a')
  const [, text] = await says(server, /listening at [^"]*127\.0\.0\.1:(\d+)/)
  const port = Number(text)
  const host = (name: string) => [['Host', name]] as const
  t.match(await request(port, 'GET', '/', host('mlflow.company.com')), { status: 200, headers: { 'x-frame-options': 'DENY' } })
  t.equal((await request(port, 'GET', '/', host('10.1.1.1'))).status, 200)
  t.equal((await request(port, 'GET', '/', host('127.0.0.1'))).status, 403, 'an explicit list replaces the default')
  t.equal((await request(port, 'GET', '/nowhere', host('evil.com'))).status, 403, 'outside the plugin that fastify-cli wraps the app in')
  server.child.kill()
  await ended(server)

  const { code, out, err } = await ended(start('--allowed-hosts'))
  t.equal(code, 1)
  t.match(out + err, /allowedHosts \(MLFLOW_SERVER_ALLOWED_HOSTS, --allowed-hosts\): true is a flag without a value/)
})
