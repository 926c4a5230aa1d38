import t from 'tap'
import type { FastifyContextConfig } from 'fastify'
import mlflowSecurity from '../../lib/index.js'
import { createApp } from '../fixtures/server.js'

const evil = { host: 'evil.com' }
const foreign = { origin: 'https://evil.com' }

t.test('a route is exempt from one check, or from all', async t => {
  for (const [registered, setUp] of [['after', true], ['before', false]] as const) {
    const { app } = createApp(t)
    if (setUp) await app.register(mlflowSecurity)
    const routes: Array<[url: string, config: FastifyContextConfig]> = [
      ['/host', { mlflowSecurity: { host: false } }], ['/origin', { mlflowSecurity: { origin: false } }], ['/both', { mlflowSecurity: { host: false, origin: false } }],
      ['/false', { mlflowSecurity: false }], ['/undefined', { mlflowSecurity: undefined }], ['/empty', { mlflowSecurity: {} }],
      ['/unset', { mlflowSecurity: { host: undefined, origin: undefined, frameOptions: undefined } }], ['/param/:x', { mlflowSecurity: { host: false } }]
    ]
    for (const [url, config] of routes) app.post(url, { config }, (_request, reply) => { reply.send('ok') })
    if (!setUp) await app.register(mlflowSecurity)
    const cases: Array<[url: string, headers: Record<string, string>, status: number]> = [
      ['/host', evil, 200], ['/host', foreign, 403], ['/host', { ...evil, ...foreign }, 403],
      ['/origin', evil, 403], ['/origin', foreign, 200], ['/origin', { ...evil, ...foreign }, 403],
      ['/both', { ...evil, ...foreign }, 200], ['/false', { ...evil, ...foreign }, 200], ['/false', { host: 'a b' }, 200],
      ['/undefined', evil, 403], ['/undefined', foreign, 403], ['/empty', evil, 403], ['/unset', evil, 403], ['/unset', foreign, 403],
      ['/param/x', evil, 200], ['/param/', evil, 200], ['/param', evil, 403]
    ]
    for (const [url, headers, status] of cases) {
      t.equal((await app.inject({ method: 'POST', url, headers })).statusCode, status, `${url}, ${JSON.stringify(headers)}, registered ${registered} the plugin`)
    }
  }
})

t.test('answers to unknown paths have no overrides, whether or not a route has any', async t => {
  for (const other of [false, true]) {
    const { app } = createApp(t)
    await app.register(mlflowSecurity)
    if (other) app.get('/x', { config: { mlflowSecurity: { frameOptions: 'NONE' } } }, () => '')
    app.setNotFoundHandler(Object({ config: { mlflowSecurity: false, cors: false } }), (_request, reply) => { reply.code(404).send('own') })
    t.match(await app.inject({ url: '/unknown', headers: evil }), { statusCode: 403, headers: { 'x-frame-options': 'SAMEORIGIN' } }, String(other))
    t.match(await app.inject({ url: '/unknown', headers: { host: 'localhost', origin: 'http://localhost:1' } }), {
      statusCode: 404, body: 'own', headers: { 'x-frame-options': 'SAMEORIGIN', 'access-control-allow-origin': 'http://localhost:1' }
    })
  }
})

t.test('a wrong override stops the registration of the route', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  const wrong: unknown[] = [true, null, 'host', 1, [], { hosts: false }, { host: true }, { origin: 'https://a' }, { frameOptions: 'ALLOW' }, { frameOptions: 'deny' }, { host: false, x: 1 }]
  for (const mlflowSecurity of wrong) {
    const config: Record<string, unknown> = { mlflowSecurity }
    t.throws(() => app.get('/x', { config }, () => ''), {
      code: 'FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG', message: /^Route "\/x": config\.mlflowSecurity is .*Allowed: false, or an object/
    }, JSON.stringify(mlflowSecurity))
  }
  t.throws(() => app.get('/x', { config: Object({ mlflowSecurity: { host: false, orgin: false } }) }, () => ''), {
    message: /^Route "\/x": config\.mlflowSecurity is \{"host":false,"orgin":false\}, and there is no "orgin"\. Allowed: /
  })
  const wrongCors: unknown[] = [
    { origin: '*' }, { origin: '*', maxAge: 1 }, { credentials: true }, { delegator: () => {} }, { hook: 'preHandler' }, { strictPreflight: true },
    { preflightContinue: false }, { optionsSuccessStatus: 200 }, { origins: 'https://a' }, { maxAge: undefined }, { maxAge: '1' }, { methods: 'a\nb' },
    { exposedHeaders: undefined }, { exposedHeaders: 5 }, { cacheControl: 60 },
    true, null, 5, 'https://a', []
  ]
  for (const cors of wrongCors) {
    const config: Record<string, unknown> = { cors }
    for (const method of ['GET', 'OPTIONS']) {
      t.throws(() => app.route({ method, url: '/x', config, handler: () => '' }), { code: 'FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG', message: /config\.cors is/ }, `${method} ${JSON.stringify(cors)}`)
    }
  }
  for (const cors of [{ maxAge: 1 }, { methods: ['GET'] }, { allowedHeaders: 'x' }, { cacheControl: 'no-store' }, { preflight: false }, { exposedHeaders: 'x', maxAge: 5 }]) {
    for (const method of ['GET', ['GET', 'POST']]) {
      t.throws(() => app.route({ method, url: '/x', config: { cors }, handler: () => '' }), { message: /on a route for OPTIONS, where preflights go/ }, `${method}: ${JSON.stringify(cors)} would do nothing`)
    }
    app.route({ method: ['GET', 'OPTIONS'], url: `/options/${JSON.stringify(cors)}`, config: { cors }, handler: () => '' })
  }
  for (const cors of [false, { exposedHeaders: ['etag'] }, undefined]) app.get(`/${JSON.stringify(cors)}`, { config: { cors } }, () => '')
})

t.test('a route may have @fastify/cors options of its own, and no config at all', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  app.options('/own', { config: { cors: { maxAge: 5, cacheControl: 'no-store' } } }, () => '')
  app.get('/exposed', { config: { cors: { exposedHeaders: 'etag' } } }, () => 'ok')
  app.get('/null', JSON.parse('{ "config": null }'), () => 'ok')
  const preflight = await app.inject({ method: 'OPTIONS', url: '/own', headers: { origin: 'http://localhost:1', 'access-control-request-method': 'PUT' } })
  t.match(preflight, { statusCode: 204, headers: { 'access-control-max-age': '5', 'cache-control': 'no-store' } })
  t.match(await app.inject({ url: '/exposed', headers: { origin: 'http://localhost:1' } }), { headers: { 'access-control-expose-headers': 'etag' } })
  t.equal((await app.inject('/null')).body, 'ok')
})

t.test('a preflight is a request of its own: exempt where its own route is', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  app.post('/post', { config: { mlflowSecurity: { origin: false } } }, () => 'ok')
  app.all('/all', { config: { mlflowSecurity: { origin: false } } }, () => 'ok')
  const headers = { ...foreign, 'access-control-request-method': 'POST' }
  t.equal((await app.inject({ method: 'OPTIONS', url: '/post', headers })).statusCode, 403)
  const answer = await app.inject({ method: 'OPTIONS', url: '/all', headers })
  t.equal(answer.body, 'ok')
  t.notOk('access-control-allow-origin' in answer.headers, 'which leaves the browser where it was')
})

t.test('a wrong override on a route that came before the plugin exempts from nothing, and is logged', async t => {
  const { app, lines } = createApp(t)
  const config: Record<string, unknown> = { mlflowSecurity: { host: true, frameOptions: 'ALLOW' } }
  app.get('/x', { config }, () => 'ok')
  await app.register(mlflowSecurity)
  for (let i = 0; i < 2; i++) t.equal((await app.inject({ url: '/x', headers: evil })).statusCode, 403)
  t.match(await app.inject('/x'), { statusCode: 200, headers: { 'x-frame-options': 'SAMEORIGIN' } })
  const errors = lines.filter(({ level }) => level === 50)
  t.match(errors, [{ msg: /^The route was registered before/, err: { code: 'FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG' } }])
  t.equal(errors.length, 1, 'once')
})

t.test('a route that came before the plugin cannot open CORS by itself', async t => {
  for (const cors of [{ origin: true, credentials: true }, { origin: '*' }, { origin: undefined }]) {
    const { app, lines } = createApp(t)
    const config: Record<string, unknown> = { cors }
    app.get('/x', { config }, () => 'secret')
    await app.register(mlflowSecurity)
    for (let i = 0; i < 2; i++) {
      const { statusCode, headers } = await app.inject({ url: '/x', headers: foreign })
      t.equal(statusCode, 200)
      t.notOk('access-control-allow-origin' in headers, JSON.stringify(cors))
    }
    t.equal(lines.filter(({ level }) => level === 50).length, 1, 'it is logged, once')
    t.match(config, { cors }, "the caller's object stays as it is")
  }
})

t.test('disabled, overrides are still checked, and CORS is left to the app', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { disableSecurityMiddleware: true })
  const routes: Array<Record<string, unknown>> = [{ cors: { origin: 'https://x.com' } }, { mlflowSecurity: { host: true } }]
  const [withCors, wrong] = routes
  app.get('/cors', { config: withCors ?? {} }, () => 'ok')
  t.throws(() => app.get('/wrong', { config: wrong ?? {} }, () => 'ok'), { code: 'FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG' })
})

t.test('health routes are what healthRoutes says, by the matched route', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { healthRoutes: ['/ping/:who'] })
  for (const url of ['/health', '/ping/:who']) app.get(url, (_request, reply) => { reply.send('ok') })
  t.equal((await app.inject({ url: '/ping/me', headers: evil })).statusCode, 200)
  t.equal((await app.inject({ url: '/health', headers: evil })).statusCode, 403)
  t.equal((await app.inject({ url: '/nowhere', headers: evil })).statusCode, 403)
})
