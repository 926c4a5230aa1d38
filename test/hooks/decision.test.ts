import Fastify from 'fastify'
import t from 'tap'
import { decisionOf } from '../../lib/hooks/decision.js'

t.test('a server without the plugin decides nothing', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/', async request => { decisionOf(request.server) })
  const answer = await app.inject('/')
  t.equal(answer.statusCode, 500)
  t.match(answer.body, 'The plugin is not registered on this server')
})
