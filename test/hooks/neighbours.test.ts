// Other plugins and handlers of the app.
import rateLimit from '@fastify/rate-limit'
import staticFiles from '@fastify/static'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { createApp, createServer } from '../fixtures/server.js'

const evil = { host: 'evil.com' }

t.test('@fastify/static: files are protected like everything else', async t => {
  const { app } = createServer(t)
  app.register(staticFiles, { root: t.testdir({ 'a.txt': 'content' }), prefix: '/files/' })
  t.match(await app.inject('/files/a.txt'), { statusCode: 200, body: 'content', headers: { 'x-frame-options': 'SAMEORIGIN' } })
  t.equal((await app.inject({ url: '/files/a.txt', headers: evil })).statusCode, 403)
  t.equal((await app.inject({ url: '/files/none.txt', headers: evil })).statusCode, 403)
})

t.test('@fastify/rate-limit in both orders: its own refusals carry our headers', async t => {
  for (const first of [true, false]) {
    const { app } = createApp(t)
    if (first) await app.register(rateLimit, { max: 1 })
    await app.register(mlflowSecurity)
    if (!first) await app.register(rateLimit, { max: 1 })
    app.get('/', (_request, reply) => { reply.send('ok') })
    t.equal((await app.inject({ url: '/', headers: evil })).statusCode, 403)
    t.equal((await app.inject('/')).statusCode, 200, 'a refused Host does not count')
    t.match(await app.inject('/'), { statusCode: 429, headers: { 'x-frame-options': 'SAMEORIGIN', 'x-content-type-options': 'nosniff', vary: 'Origin' } })
  }
})

t.test('setNotFoundHandler: a foreign Host does not get to it', async t => {
  const { app } = createServer(t)
  app.setNotFoundHandler((_request, reply) => { reply.code(404).send('own 404') })
  t.match(await app.inject('/nowhere'), { statusCode: 404, body: 'own 404', headers: { 'x-frame-options': 'SAMEORIGIN' } })
  t.equal((await app.inject({ url: '/nowhere', headers: evil })).statusCode, 403)
})
