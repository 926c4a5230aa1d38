// What createGateway makes, and what stops there.
import t from 'tap'
import { createGateway } from '../../lib/gateway.js'
import { CREATE_RUN, listen, request, send, upgrade } from '../fixtures/server.js'
import { gateway, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

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
  t.equal((await request(port, 'OPTIONS', '*', [HOST])).status, 400, 'OPTIONS * would be OPTIONS /* to it')
})

t.test('plugins, hooks and routes that are added to it come before the proxy', async t => {
  const { seen, listener } = recorder()
  const routes: string[] = []
  const app = createGateway({
    upstream: await upstream(t, listener),
    before: async app => {
      await app.register(async () => {})
      app.addHook('onRoute', ({ url }) => { routes.push(url) })
      app.post('/login', async request => request.body)
      app.get('/', async () => 'own page')
      app.get('/health', async () => 'own health')
    }
  })
  t.teardown(() => app.close())
  await app.after()
  app.addHook('onRequest', async request => { if (request.url === '/secret') throw Object.assign(new Error('no'), { statusCode: 401 }) })
  const port = await listen(app)
  await app.ready()
  t.equal((await request(port, 'GET', '/secret', [HOST])).status, 401)
  t.equal((await request(port, 'GET', '/open', [HOST])).status, 200)
  for (const [path, body] of [['/', 'own page'], ['/health', 'own health']] as const) t.equal((await request(port, 'GET', path, [HOST])).body, body)
  const body = JSON.stringify({ user: 'a' })
  const head = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\nConnection: close`
  t.match(await send(port, `POST /login HTTP/1.1\r\n${head}\r\n\r\n${body}`), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK[^]*\{"user":"a"\}$/, 'its own routes parse')
  t.ok(routes.includes('/*'), 'onRoute sees the proxy\'s routes')
  t.same(seen.map(({ url }) => url), ['/open'])
})
