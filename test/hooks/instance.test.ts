// What Fastify has no public way for. Each of these says what breaks if Fastify keeps it elsewhere.
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { hasRoutes, lineage } from '../../lib/hooks/instance.js'

t.test('an app has routes, or has none', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  t.equal(hasRoutes(app), false, 'Fastify prints its tree of routes as it did')
  app.get('/', async () => '')
  t.equal(hasRoutes(app), true)
})

t.test('an instance is found in its lineage, the root last', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(async outer => {
    outer.register(async inner => { t.strictSame(lineage(inner).instances, [inner, outer, app]) })
  })
  await app.ready()
  t.equal(lineage(app).root, app)
  const unknown: FastifyInstance = Object.create(null)
  t.throws(() => lineage(unknown), { message: /^This version of Fastify does not keep its server/ })
})
