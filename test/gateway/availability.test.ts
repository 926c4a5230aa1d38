import t from 'tap'
import { addAvailability } from '../../lib/gateway/availability.js'
import { createServer } from '../fixtures/server.js'

t.test('a gateway that starts serves nothing; one that drains has no health', async t => {
  const { app } = createServer(t, { healthRoutes: ['/health', '/ping/:who'] })
  app.get('/ping/:who', async () => 'pong')
  const availability = addAvailability(app)
  const ask = async (url: string, host = 'localhost') => (await app.inject({ url, headers: { host } })).statusCode
  t.equal(await ask('/health'), 200)
  availability.state = 'starting'
  const answer = await app.inject({ url: '/', headers: { host: 'localhost' } })
  t.match(answer, { statusCode: 503, headers: { 'retry-after': '2' } })
  t.equal(answer.json().code, 'FST_MLFLOW_SECURITY_STARTING')
  t.equal(await ask('/', 'evil.com'), 403)
  availability.state = 'draining'
  for (const [url, status] of [['/', 200], ['/version', 200], ['/health', 503], ['/health?x', 503], ['/ping/a', 503], ['/%68ealth', 503], ['/none', 404]] as const) {
    t.equal(await ask(url), status, url)
  }
})
