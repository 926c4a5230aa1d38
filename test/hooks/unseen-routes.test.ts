import t from 'tap'
import type { FastifyInstance, RouteOptions } from 'fastify'
import mlflowSecurity from '../../lib/index.js'
import { createApp, listen, request } from '../fixtures/server.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const FOREIGN = ['Origin', 'https://evil.com'] as const
const CODE = 'FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG'

/** Configs that the types do not allow. */
const untyped = (config: Record<string, unknown>): Record<string, unknown> => config
const OPEN = { origin: true, credentials: true }

const corsHeaders = (headers: object) => Object.keys(headers).filter(name => name.startsWith('access-control-'))

/** A child that the app has kept hold of, from before the plugin; in an object, for an instance can be awaited. */
async function createWithChild (app: FastifyInstance): Promise<{ child: FastifyInstance }> {
  let child: FastifyInstance = app
  await app.register(async outer => { await outer.register(async inner => { child = inner }) }, { prefix: '/child' })
  await app.register(mlflowSecurity)
  return { child }
}

t.test('the overrides of a child that exists before the plugin count', async t => {
  const { app } = createApp(t)
  const { child } = await createWithChild(app)
  child.get('/open', { config: { mlflowSecurity: { host: false, frameOptions: 'DENY' } } }, () => 'ok')
  const port = await listen(app)
  t.match(await request(port, 'GET', '/child/open', [EVIL]), { status: 200, headers: { 'x-frame-options': 'DENY' } })
})

t.test('and are checked when the route is registered', async t => {
  const { app } = createApp(t)
  const { child } = await createWithChild(app)
  for (const config of [{ mlflowSecurity: { hosts: false } }, { cors: OPEN }]) {
    t.throws(() => child.get('/wrong', { config: untyped(config) }, () => ''), { code: CODE, message: /^Route "\/child\/wrong": / })
  }
})

t.test('a later onRoute hook sets an override: it counts, and is checked by ready()', async t => {
  const addHook = (app: FastifyInstance, words: Record<string, unknown>, replace: boolean) => app.addHook('onRoute', route => {
    if (replace) route.config = Object.assign({}, route.config, words)
    else Object.assign(route.config ?? {}, words)
  })
  for (const replace of [true, false]) {
    const { app } = createApp(t)
    await app.register(mlflowSecurity)
    addHook(app, { mlflowSecurity: { host: false, frameOptions: 'DENY' } }, replace)
    app.get('/', () => 'ok')
    const port = await listen(app)
    t.match(await request(port, 'GET', '/', [EVIL]), { status: 200, headers: { 'x-frame-options': 'DENY' } })
    for (const words of [{ mlflowSecurity: { host: true } }, { cors: OPEN }]) {
      const wrong = createApp(t).app
      await wrong.register(mlflowSecurity)
      addHook(wrong, words, replace)
      wrong.get('/x', () => 'ok')
      const message = /^Route "\/x": config\.(mlflowSecurity|cors) is/
      await t.rejects(async () => wrong.ready(), { code: CODE, message }, JSON.stringify(words))
    }
  }
})

t.test('what is changed inside an override after its route was registered is checked by ready()', async t => {
  for (const [words, change] of [
    [{ mlflowSecurity: {} }, { mlflowSecurity: { host: true } }],
    [{ cors: {} }, { cors: OPEN }]
  ] as const) {
    const { app } = createApp(t)
    await app.register(mlflowSecurity)
    const config = structuredClone<Record<string, object>>(words)
    app.get('/x', { config }, () => 'ok')
    for (const [key, value] of Object.entries(change)) Object.assign(config[key] ?? {}, value)
    await t.rejects(async () => app.ready(), { code: CODE }, JSON.stringify(change))
  }
})

t.test('a config that is changed after its route was registered does nothing in Fastify: ready() says so', async t => {
  for (const late of [{ mlflowSecurity: { frameOptions: 'DENY' } }, { mlflowSecurity: 'nonsense' }, { cors: OPEN }]) {
    const { app } = createApp(t)
    await app.register(mlflowSecurity)
    const config: Record<string, unknown> = { other: 1 }
    app.get('/x', { config }, () => 'ok')
    Object.assign(config, late)
    const message = /^Route "\/x": config\.\w+ was changed to .* after the route was registered, and Fastify keeps/
    await t.rejects(async () => app.ready(), { code: CODE, message }, JSON.stringify(late))
  }
})

t.test("the app's own config object stays as it is, and may be frozen", async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  app.addHook('onRoute', route => { Object.assign(route.config ?? {}, { seen: true }) })
  const config = Object.freeze({ mlflowSecurity: Object.freeze({ host: false as const }) })
  app.get('/', { config }, ({ routeOptions }) => Object.keys(routeOptions.config))
  t.match(await app.inject({ url: '/', headers: { host: 'evil.com' } }), { statusCode: 200, body: '["mlflowSecurity","seen","url","method"]' })
})

t.test('no config.cors opens what the policy closes, however it gets there', async t => {
  const wide = [{ origin: true, credentials: true }, { origin: '*', credentials: true }, { origin: ['https://evil.com'] }, { origin: undefined, preflightContinue: false }]
  for (const corsAllowedOrigins of ['https://a', '*']) {
    for (const cors of wide) {
      const { app } = createApp(t)
      app.get('/before', { config: untyped({ cors }) }, () => 'ok')
      await app.register(mlflowSecurity, { corsAllowedOrigins })
      app.get('/late', ({ routeOptions }) => {
        Object.assign(routeOptions.config, { cors })
        return 'ok'
      })
      app.get('/', { config: { mlflowSecurity: {} } }, () => 'ok')
      const port = await listen(app)
      for (let i = 0; i < 2; i++) {
        for (const url of ['/before', '/late']) {
          const foreign = await request(port, 'GET', url, [HOST, FOREIGN])
          const same = await request(port, 'GET', '/', [HOST, FOREIGN])
          t.equal(foreign.status, 200)
          for (const name of ['access-control-allow-origin', 'access-control-allow-credentials']) t.equal(foreign.headers[name], same.headers[name], `${url}: ${name}`)
          t.same(corsHeaders((await request(port, 'GET', url, [HOST])).headers), [], 'no Origin, no header')
        }
      }
      const preflight = await request(port, 'OPTIONS', '/before', [HOST, FOREIGN, ['Access-Control-Request-Method', 'PUT']])
      t.equal(preflight.headers['access-control-allow-origin'], corsAllowedOrigins === '*' ? '*' : undefined)
      t.notOk('access-control-allow-credentials' in preflight.headers)
    }
  }
})

t.test('a route may close what the policy opens', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { corsAllowedOrigins: 'https://a' })
  app.get('/closed', { config: { cors: false } }, () => 'ok')
  t.same(corsHeaders((await request(await listen(app), 'GET', '/closed', [HOST, ['Origin', 'https://a']])).headers), [])
})

t.test('disabled, later overrides are checked as well, and CORS is left to the app', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { disableSecurityMiddleware: true })
  const hook = (words: Record<string, unknown>) => (route: RouteOptions) => { Object.assign(route.config ?? {}, words) }
  app.addHook('onRoute', hook({ cors: OPEN, mlflowSecurity: { hosts: false } }))
  app.get('/x', () => 'ok')
  await t.rejects(async () => app.ready(), { code: CODE, message: /config\.mlflowSecurity is/ })
})
