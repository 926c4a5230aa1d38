import Fastify from 'fastify'
import t from 'tap'
import { decisionOf } from '../../lib/hooks/decision.js'
import mlflowSecurity from '../../lib/index.js'
import { createApp, listen, upgrade } from '../fixtures/server.js'

t.test('a server without the plugin decides nothing', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/', async request => { decisionOf(request.server) })
  const answer = await app.inject('/')
  t.equal(answer.statusCode, 500)
  t.match(answer.body, 'The plugin is not registered on this server')
})

t.test('the decorator: frozen settings, and the verdict for a raw upgrade handler', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { allowedHosts: 'a' })
  t.ok(Object.isFrozen(app.mlflowSecurity))
  t.ok(Object.isFrozen(app.mlflowSecurity.settings))
  const hosts = ['a', 'evil.com'].map(host => ({ method: 'GET', url: '/', headers: { host } }))
  t.same(hosts.map(app.mlflowSecurity.inspect).map(({ allowed }) => allowed), [true, false], 'inspect takes the request alone, also as a callback')
  app.server.on('upgrade', (raw, socket) => {
    const verdict = app.mlflowSecurity.inspect(raw)
    socket.end(`HTTP/1.1 ${verdict.allowed ? 101 : verdict.statusCode} X\r\n\r\n`)
  })
  const port = await listen(app)
  t.equal(await upgrade(port, '/', [['Host', 'a']]), 101)
  t.equal(await upgrade(port, '/', [['Host', 'evil.com']]), 403)
  t.equal(await upgrade(port, '/', [['Host', 'a'], ['Origin', 'https://evil.com']]), 403)
  t.equal(await upgrade(port, '/', [['Host', 'a'], ['Host', 'a']]), 400)
})
