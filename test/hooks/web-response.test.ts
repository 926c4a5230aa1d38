// Web Responses as answers.
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { createApp, listen, request } from '../fixtures/server.js'

const HOST = ['Host', 'localhost'] as const
const LISTED = ['Origin', 'https://a'] as const
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
