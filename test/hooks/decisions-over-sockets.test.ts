import t from 'tap'
import decisions from '../fixtures/decisions.json' with { type: 'json' }
import type { Decision } from '../fixtures/decision.js'
import { createServer, listen, request } from '../fixtures/server.js'

const header = ([name = '', value = '']: string[]): readonly [string, string] => [name, value]

for (const group of decisions.groups) {
  t.test(`decisions over a raw socket: ${group.name}`, async t => {
    const environment: Record<string, string> = 'env' in group && group.env !== undefined ? group.env : {}
    for (const [name, value] of Object.entries(environment)) process.env[name] = value
    t.teardown(() => { for (const name of Object.keys(environment)) delete process.env[name] })

    const { app } = createServer(t, group.options ?? {})
    app.addHttpMethod('PROPFIND', { hasBody: true })
    const port = await listen(app)

    const requests: Decision[] = group.requests
    for (const { name, method, target, headers, status, has = {}, hasNot = [] } of requests) {
      const response = await request(port, method, target, headers.map(header))
      t.equal(response.status, status, name)
      t.match(response.headers, has, `${name}: headers it has`)
      for (const absent of hasNot) t.notOk(absent in response.headers, `${name}: no ${absent}`)
    }
  })
}
