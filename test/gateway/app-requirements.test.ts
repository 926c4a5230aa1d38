// What an app that the gateway is registered in has to be like. (plugin.test.ts tries it in apps.)
import Fastify from 'fastify'
import t from 'tap'
import { refuseLatecomers } from '../../lib/gateway/app-requirements.js'

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
