// What an app that the gateway is registered in has to be like.
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import t from 'tap'
import mlflowGateway, { createGateway } from '../../lib/gateway.js'
import { refuseLatecomers } from '../../lib/gateway/app-requirements.js'
import { createApp, listen, request } from '../fixtures/server.js'
import { certificate, gateway, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('the plugins that come after the gateway, beside it', async t => {
  const cases: Array<[tree: string[], latecomer: string | undefined]> = [
    [['root 1 ms', '├── login 0 ms', '└── gateway 2 ms'], undefined],
    [['root 1 ms', '├── gateway 2 ms', '└── bound _after 0 ms'], undefined],
    [['root 1 ms', '├─┬ gateway 2 ms', '│ └── fastify-mlflow-security 1 ms', '└── @fastify/rate-limit 0.5 ms'], '@fastify/rate-limit'],
    [['root 1 ms', '├─┬ inner 2 ms', '│ └── gateway 1 ms', '└── outer 0 ms'], undefined]
  ]
  for (const [tree, latecomer] of cases) {
    const check = () => refuseLatecomers(tree.join('\n'), 'gateway')
    if (latecomer === undefined) t.doesNotThrow(check, tree.join())
    else t.throws(check, { code: 'FST_MLFLOW_SECURITY_GATEWAY_NOT_LAST', message: `"${latecomer}" is registered after the gateway` }, tree.join())
  }
})

t.test('a list in another form is no list without latecomers', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.ready()
  for (const tree of ['', '- gateway', app.printPlugins()]) {
    t.throws(() => refuseLatecomers(tree, 'gateway'), { message: /^This version of Fastify does not list its plugins/ }, tree)
  }
})

t.test('what is registered after the gateway is refused, hooks are not', async t => {
  const { app } = createApp(t)
  await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
  await app.register(rateLimit, { max: 1 })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_MLFLOW_SECURITY_GATEWAY_NOT_LAST', message: /^"@fastify\/rate-limit" is registered after the gateway.*createGateway\(\{ before:/ })

  const made = createGateway({ upstream: 'http://127.0.0.1:1' })
  t.teardown(() => made.close())
  made.register(rateLimit, { max: 1 })
  await t.rejects(Promise.resolve(made.ready()), { code: 'FST_MLFLOW_SECURITY_GATEWAY_NOT_LAST' })

  const { listener } = recorder()
  const limited = createGateway({ upstream: await upstream(t, listener), before: app => app.register(rateLimit, { max: 1 }) })
  t.teardown(() => limited.close())
  const port = await listen(limited)
  t.strictSame([(await request(port, 'GET', '/', [HOST])).status, (await request(port, 'GET', '/', [HOST])).status], [200, 429])

  const nested = Fastify()
  t.teardown(() => nested.close())
  nested.register(async app => { await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' }) })
  nested.register(async () => {})
  await nested.ready()
  t.ok(nested.hasDecorator('mlflowSecurity'), 'in a plugin of its own, as fastify-cli registers it')
})

t.test('an app that lacks what a gateway needs is told so', async t => {
  const options = async (server: object) => {
    const { app, lines } = createApp(t, server)
    await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
    await app.ready()
    return lines.filter(({ level, option }) => level === 40 && option !== 'http.shouldUpgradeCallback').map(({ option }) => option)
  }
  t.strictSame(await options({}), [])
  t.strictSame(await options({ requestTimeout: 1000, connectionTimeout: 1000, handlerTimeout: 1000 }), ['requestTimeout', 'connectionTimeout', 'handlerTimeout'])
  const wider = { caseSensitive: false, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, useSemicolonDelimiter: true }
  for (const server of [wider, { routerOptions: wider }]) t.strictSame(await options(server), Object.keys(wider))
  t.strictSame(await options({ ignoreTrailingSlash: true, routerOptions: { caseSensitive: false } }), ['caseSensitive', 'ignoreTrailingSlash'], 'Fastify mixes the forms')
  t.strictSame(await options({ routerOptions: { caseSensitive: true, maxParamLength: 5000 } }), [])
  const tls = certificate()
  t.strictSame(await options({ http2: true, https: { allowHTTP1: true, ...tls } }), ['server.requestTimeout'], 'Fastify sets it for HTTP/1.1 alone')
  for (const more of [{}, { tls }]) {
    const { lines } = await gateway(t, { upstream: 'http://127.0.0.1:1', ...more })
    t.notOk(lines.some(({ level }) => level === 40), 'createGateway lacks nothing')
  }
})
