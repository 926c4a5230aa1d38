import t from 'tap'
import { request, send } from '../fixtures/server.js'
import { gateway, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('behind a trusted proxy X-Forwarded-* go on as it wrote them', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, {
    upstream: await upstream(t, listener), allowedHosts: 'localhost,mlflow.company.com', fastify: { trustProxy: '127.0.0.1' }
  })
  await request(port, 'GET', '/', [
    HOST, ['X-Forwarded-For', '6.6.6.6, 203.0.113.5'], ['X-Forwarded-Host', 'mlflow.company.com'], ['X-Forwarded-Proto', 'https']
  ])
  t.match(seen[0]?.headers, {
    'x-forwarded-for': '203.0.113.5, 127.0.0.1', 'x-forwarded-host': 'mlflow.company.com', 'x-forwarded-proto': 'https'
  })
})

t.test('X-Forwarded-* of a trusted proxy pass, those of anyone else do not', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const said = [['X-Forwarded-User', 'ada'], ['X-Forwarded-Prefix', '/x'], ['Forwarded', 'for=a'], ['X_Forwarded_User', 'eve']] as const
  for (const [trustProxy, headers, expected] of [
    ['127.0.0.1', [], true], ['127.0.0.1', [['X-Forwarded-For', '6.6.6.6']], true], ['10.0.0.1', [['X-Forwarded-For', '127.0.0.1']], false], [undefined, [], false]
  ] as const) {
    seen.length = 0
    const { port } = await gateway(t, { upstream: target, ...(trustProxy === undefined ? {} : { fastify: { trustProxy } }) })
    const all = [HOST, ...said, ...headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
    await send(port, `GET / HTTP/1.1\r\n${all}\r\nGET / HTTP/1.1\r\n${all}Connection: close\r\n\r\n`)
    t.equal(seen.length, 2)
    for (const { headers } of seen) {
      t.match(headers, expected ? { 'x-forwarded-user': 'ada', 'x-forwarded-prefix': '/x', forwarded: 'for=a' } : { 'x-forwarded-user': undefined, 'x-forwarded-prefix': undefined, forwarded: undefined }, String(trustProxy))
      t.notOk(headers['x_forwarded_user'])
    }
  }
})
