import { createError } from '@fastify/error'
import * as fastify from 'fastify'
import t from 'tap'
import { withoutRequests } from '../../lib/cli/logger.js'
import { addRequestLog } from '../../lib/cli/request-log.js'
import { logTo } from '../fixtures/server.js'

t.test('one line for each request, and for each error what is needed to find it', async t => {
  const { logger, lines } = logTo()
  const app = fastify.fastify({ logger, ...withoutRequests(fastify) })
  t.teardown(() => app.close())
  addRequestLog(app)
  const cases: Array<[error: Error, level: number, code: string | undefined, hasStack: boolean]> = [
    [new (createError('FST_MLFLOW_SECURITY_OTHER', 'known', 500))(), 50, 'FST_MLFLOW_SECURITY_OTHER', false],
    [new (createError('FST_MLFLOW_SECURITY_STARTING', 'starting', 503))(), 30, 'FST_MLFLOW_SECURITY_STARTING', false],
    [new (createError('FST_TOO_LARGE', 'too large', 413))(), 30, 'FST_TOO_LARGE', false],
    [new (createError('E_OTHER', 'no code of ours', 500))(), 50, undefined, true],
    [new Error('unforeseen'), 50, undefined, true]
  ]
  cases.forEach(([error], i) => app.get(`/${i}`, async () => { throw error }))
  for (const [i, [error, level, code, hasStack]] of cases.entries()) {
    lines.length = 0
    await app.inject(`/${i}`)
    t.match(lines, [{ level, msg: error.message }, { level: 30, msg: 'request completed' }], error.message)
    t.equal(lines[0]?.code, code)
    t.equal(/request-log\.test/.test(JSON.stringify(lines[0])), hasStack, 'a fault has its stack')
    t.equal(lines.length, 2)
  }
})

t.test('what a warning says already has no second line', async t => {
  const { logger, lines } = logTo()
  const app = fastify.fastify({ logger, ...withoutRequests(fastify) })
  t.teardown(() => app.close())
  addRequestLog(app)
  app.get('/', async () => { throw new (createError('FST_MLFLOW_SECURITY_CROSS_ORIGIN', 'refused', 403))() })
  t.equal((await app.inject('/')).statusCode, 403)
  t.strictSame(lines, [])
})

t.test('above info there is no line for a request', async t => {
  const { logger, lines } = logTo()
  const app = fastify.fastify({ logger: { ...logger, level: 'warn' } })
  t.teardown(() => app.close())
  addRequestLog(app)
  app.get('/', async () => 'ok')
  t.equal((await app.inject('/')).statusCode, 200)
  t.strictSame(lines, [])
})
