import helmet from '@fastify/helmet'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import type { FrameOptions, MlflowSecurityOptions } from '../../types/index.js'
import { createApp, createServer } from '../fixtures/server.js'

const FRAME_OPTIONS = 'x-frame-options'
const CSP = 'content-security-policy'

t.test('X-Frame-Options as documented: SAMEORIGIN, DENY, NONE', async t => {
  for (const [xFrameOptions, expected] of [['SAMEORIGIN', 'SAMEORIGIN'], ['DENY', 'DENY'], ['NONE', undefined]] as const) {
    const { app } = createServer(t, { xFrameOptions })
    for (const url of ['/', '/nowhere']) t.equal((await app.inject(url)).headers[FRAME_OPTIONS], expected, `${xFrameOptions} on ${url}`)
  }
})

t.test('a route has its own X-Frame-Options, by override or by its handler', async t => {
  const { app } = createApp(t)
  app.get('/early', { config: { mlflowSecurity: { frameOptions: 'NONE' } } }, (_request, reply) => { reply.send('ok') })
  await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
  const routes: Array<[url: string, frameOptions: FrameOptions]> = [['/none', 'NONE'], ['/deny', 'DENY']]
  for (const [url, frameOptions] of routes) app.get(url, { config: { mlflowSecurity: { frameOptions } } }, (_request, reply) => { reply.send('ok') })
  app.get('/false', { config: { mlflowSecurity: false } }, (_request, reply) => { reply.send('ok') })
  app.get('/handler', (_request, reply) => { reply.header(FRAME_OPTIONS, 'DENY').header('x-content-type-options', 'own').header(CSP, "frame-ancestors 'none'").send('ok') })
  app.get('/wider', (_request, reply) => { reply.header(CSP, 'frame-ancestors https://own').send('ok') })
  const cases: Array<[url: string, frameOptions: string | undefined, policy: string | undefined]> = [
    ['/early', undefined, undefined],
    ['/none', undefined, undefined],
    ['/deny', 'DENY', undefined],
    ['/false', undefined, undefined],
    ['/handler', 'DENY', "frame-ancestors 'none'"],
    ['/wider', 'SAMEORIGIN', 'frame-ancestors https://own'],
    ['/nowhere', 'SAMEORIGIN', "frame-ancestors 'self' https://nb"]
  ]
  for (const [url, frameOptions, policy] of cases) {
    const { headers } = await app.inject(url)
    t.equal(headers[FRAME_OPTIONS], frameOptions, url)
    t.equal(headers[CSP], policy, url)
  }
  t.equal((await app.inject('/handler')).headers['x-content-type-options'], 'own')
})

t.test('a stricter X-Frame-Options of another plugin stands, however it is written', async t => {
  for (const value of ['DENY', 'deny', ' Deny ', ['DENY'], ['SAMEORIGIN', 'deny'], 'SAMEORIGIN, DENY']) {
    for (const raw of [false, true]) {
      const { app } = createServer(t)
      app.addHook('onRequest', async (_request, reply) => {
        if (raw) reply.raw.setHeader(FRAME_OPTIONS, value)
        else reply.header(FRAME_OPTIONS, value)
      })
      t.equal((await app.inject('/')).headers[FRAME_OPTIONS], 'DENY', `${JSON.stringify(value)}, raw ${raw}`)
    }
  }
  const { app } = createServer(t)
  app.addHook('onRequest', async (_request, reply) => { reply.header(FRAME_OPTIONS, 'DENYX') })
  t.equal((await app.inject('/')).headers[FRAME_OPTIONS], 'SAMEORIGIN', 'what is no DENY does not')
})

t.test('@fastify/helmet in both orders: the settings stand, the rest of its headers too', async t => {
  const cases: Array<[options: MlflowSecurityOptions, frameOptions: string | undefined, ancestors: RegExp]> = [
    [{}, 'SAMEORIGIN', /;frame-ancestors 'self';/],
    [{ xFrameOptions: 'DENY' }, 'DENY', /;frame-ancestors 'self';/],
    [{ xFrameOptions: 'NONE' }, undefined, /;frame-ancestors 'self';/],
    [{ frameAncestors: ['https://nb', 'http://localhost:*'] }, 'SAMEORIGIN', /;frame-ancestors 'self' https:\/\/nb http:\/\/localhost:\*;/]
  ]
  for (const [options, frameOptions, ancestors] of cases) {
    for (const helmetFirst of [true, false]) {
      const { app } = createApp(t)
      if (helmetFirst) await app.register(helmet)
      await app.register(mlflowSecurity, options)
      if (!helmetFirst) await app.register(helmet)
      app.get('/', (_request, reply) => { reply.send('ok') })
      const { headers } = await app.inject('/')
      const name = `${JSON.stringify(options)}, helmet ${helmetFirst ? 'before' : 'after'}`
      t.equal(headers[FRAME_OPTIONS], frameOptions, name)
      t.match(headers[CSP], ancestors, name)
      t.match(headers[CSP], /default-src 'self'/, name)
      t.match(headers, { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', vary: 'Origin' }, name)
      t.equal((await app.inject({ url: '/', headers: { host: 'evil.com' } })).statusCode, 403, name)
      t.equal((await app.inject({ method: 'POST', url: '/', headers: { origin: 'null', 'sec-fetch-site': 'same-origin' } })).statusCode, 404, `${name}: the own form, its Origin hidden by helmet`)
    }
  }
})

t.test('nothing becomes easier to frame than a plugin wants it, unless its route says so', async t => {
  for (const helmetFirst of [true, false]) {
    const { app } = createApp(t)
    const denying = { frameguard: { action: 'deny' }, contentSecurityPolicy: { directives: { 'frame-ancestors': ["'none'"] } } } as const
    if (helmetFirst) await app.register(helmet, denying)
    await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
    if (!helmetFirst) await app.register(helmet, denying)
    app.get('/', () => 'ok')
    app.get('/none', { config: { mlflowSecurity: { frameOptions: 'SAMEORIGIN' } } }, () => 'ok')
    const { headers } = await app.inject('/')
    t.equal(headers[FRAME_OPTIONS], 'DENY')
    t.match(headers[CSP], /frame-ancestors 'none'/)
    t.match((await app.inject('/none')).headers[CSP], /frame-ancestors 'self'/)
  }
})

t.test("a route with frameOptions NONE is open though helmet's policy is not", async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
  await app.register(helmet, { contentSecurityPolicy: { useDefaults: false, directives: { 'default-src': ["'self'"], 'frame-ancestors': ["'self'"] } } })
  for (const frameOptions of ['NONE', 'DENY'] as const) app.get(`/${frameOptions}`, { config: { mlflowSecurity: { frameOptions } } }, () => 'ok')
  const open = await app.inject('/NONE')
  t.notOk(FRAME_OPTIONS in open.headers)
  t.equal(open.headers[CSP], "default-src 'self'")
  t.match((await app.inject('/DENY')).headers, { [FRAME_OPTIONS]: 'DENY', [CSP]: "default-src 'self';frame-ancestors 'none'" })
})

t.test('a route with frameOptions NONE drops a policy that says nothing else', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity)
  app.addHook('onRequest', async (_request, reply) => { reply.header(CSP, "frame-ancestors 'self'") })
  app.get('/', { config: { mlflowSecurity: { frameOptions: 'NONE' } } }, () => 'ok')
  t.notOk(CSP in (await app.inject('/')).headers)
})

t.test('an answer of a hook, before the settling one, names the sites too', async t => {
  const { app } = createApp(t)
  await app.register(helmet)
  await app.register(mlflowSecurity, { frameAncestors: 'https://nb' })
  app.addHook('onRequest', async (_request, reply) => reply.code(401).send('who?'))
  for (const host of ['localhost', 'evil.com']) {
    const { headers } = await app.inject({ url: '/', headers: { host } })
    t.match(headers[CSP], /frame-ancestors 'self' https:\/\/nb;/, host)
  }
})

t.test("frameAncestors joins the app's own policy on every response", async t => {
  const { app } = createServer(t, { frameAncestors: 'https://nb' })
  app.get('/policy', (_request, reply) => { reply.header(CSP, "default-src 'self'").send('ok') })
  app.get('/error', () => { throw new Error('broken') })
  const directive = "frame-ancestors 'self' https://nb"
  for (const [url, expected] of [['/', directive], ['/policy', `default-src 'self'; ${directive}`], ['/error', directive], ['/nowhere', directive]] as const) {
    const { headers } = await app.inject(url)
    t.equal(headers[CSP], expected, url)
    t.equal(headers[FRAME_OPTIONS], 'SAMEORIGIN', `${url}: for browsers that do not know frame-ancestors`)
  }
  const refused = await app.inject({ url: '/', headers: { host: 'evil.com' } })
  t.match(refused, { statusCode: 403, headers: { [CSP]: directive } })
})
