// Who may frame what the gateway passes on, where a route has frame options of its own.
import t from 'tap'
import { request } from '../fixtures/server.js'
import { gateway, upstream } from '../fixtures/upstream.js'
import type { RouteConfig } from '../../types/index.js'

const EMBEDDED = "frame-ancestors 'self' https://nb.company.com"

t.test("a route's own frame options hold for the gateway's routes as for those of the app", async t => {
  const cases: Array<[override: RouteConfig | undefined, frameOptions: string | undefined, ancestors: string | undefined]> = [
    [undefined, 'SAMEORIGIN', EMBEDDED],
    [{}, 'SAMEORIGIN', EMBEDDED],
    [{ host: false }, 'SAMEORIGIN', EMBEDDED],
    [{ frameOptions: 'DENY' }, 'DENY', undefined],
    [{ frameOptions: 'SAMEORIGIN' }, 'SAMEORIGIN', undefined],
    [{ frameOptions: 'NONE' }, undefined, undefined],
    [false, undefined, undefined]
  ]
  for (const [override, frameOptions, ancestors] of cases) {
    const target = await upstream(t, (_request, response) => {
      response.writeHead(200, { 'x-frame-options': 'ALLOWALL', 'content-security-policy': 'frame-ancestors *' }).end()
    })
    const { port } = await gateway(t, {
      upstream: target,
      frameAncestors: 'https://nb.company.com',
      before (app) {
        app.get('/own', { config: { mlflowSecurity: override } }, async () => 'own')
        app.addHook('onRoute', route => { if (route.url === '/*') route.config = { ...route.config, mlflowSecurity: override } })
      }
    })
    for (const path of ['/own', '/of-mlflow']) {
      const { headers } = await request(port, 'GET', path, [['Host', 'localhost']])
      t.equal(headers['x-frame-options'], frameOptions, `${JSON.stringify(override)}: X-Frame-Options of ${path}`)
      t.equal(headers['content-security-policy'], ancestors, `${JSON.stringify(override)}: Content-Security-Policy of ${path}`)
    }
  }
})
