import type { IncomingMessage, ServerResponse } from 'node:http'
import express from '@fastify/express'
import middie from '@fastify/middie'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { createApp, listen, request } from '../fixtures/server.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const
const LISTED = ['Origin', 'https://a'] as const
const FOREIGN = ['Origin', 'https://evil.com'] as const
const HEADERS = { 'x-content-type-options': 'nosniff', 'x-frame-options': 'SAMEORIGIN', vary: 'Origin' }
const CSP = 'content-security-policy'

const middleware: Array<[name: string, plugin: typeof middie | typeof express]> = [['@fastify/middie', middie], ['@fastify/express', express]]

for (const [name, plugin] of middleware) {
  t.test(`${name}: what middleware answers itself has the headers, and foreign requests do not get to it`, async t => {
    const reached: string[] = []
    const answer = ({ headers }: IncomingMessage, response: ServerResponse) => {
      reached.push(String(headers.host))
      response.writeHead(200, { 'Content-Type': 'text/plain' })
      response.end('from middleware')
    }
    for (const encapsulated of [false, true]) {
      const { app } = createApp(t)
      await app.register(mlflowSecurity, { corsAllowedOrigins: 'https://a', frameAncestors: 'https://nb' })
      const setUp = async (app: FastifyInstance) => {
        await app.register(plugin)
        app.use('/mw', answer)
        app.get('/mw', () => 'route')
        app.get('/other', () => 'route')
      }
      if (encapsulated) app.register(setUp)
      else await setUp(app)
      const port = await listen(app)
      const headers = { ...HEADERS, [CSP]: "frame-ancestors 'self' https://nb" }
      t.match(await request(port, 'GET', '/mw', [HOST]), { status: 200, body: /from middleware/, headers })
      t.match(await request(port, 'GET', '/mw', [HOST, LISTED]), { headers: { ...headers, 'access-control-allow-origin': 'https://a', 'access-control-allow-credentials': 'true' } })
      const foreign = await request(port, 'GET', '/mw', [HOST, FOREIGN])
      t.notOk(Object.keys(foreign.headers).some(name => name.startsWith('access-control')))
      t.match(await request(port, 'GET', '/other', [HOST]), { body: 'route', headers })
      reached.length = 0
      t.equal((await request(port, 'GET', '/mw', [EVIL])).status, 403)
      t.same(reached, [], 'refused before any middleware')
    }
  })
}

t.test('middleware that was there before the plugin answers before any check: a warning says so', async t => {
  for (const encapsulated of [false, true]) {
    const { app, lines } = createApp(t)
    if (encapsulated) await app.register(async child => { await child.register(async inner => { await inner.register(middie) }) })
    else await app.register(middie)
    await app.register(mlflowSecurity)
    t.match(lines.filter(({ level }) => level === 40), [{ msg: /^Middleware was registered before fastify-mlflow-security/ }], `encapsulated: ${encapsulated}`)
  }
})
