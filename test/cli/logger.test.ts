import t from 'tap'
import { loadPretty, logOptions, parseLevel, withoutRequests } from '../../lib/cli/logger.js'

t.test('what is logged, and how', async t => {
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']) t.equal(parseLevel(level), level)
  t.equal(parseLevel(), 'info')
  t.match(logOptions('warn', () => {}), { logger: { level: 'warn' }, logController: { disableRequestLogging: true } })
  t.strictSame(withoutRequests({}), { disableRequestLogging: true }, 'older versions of Fastify')
})

t.test('readable lines for a terminal', async t => {
  const pretty = await loadPretty()
  t.match(pretty?.('{"level":30,"time":0,"pid":1,"hostname":"h","method":"GET","url":"/x","msg":"request completed"}\n'), /^\[.*\d\d:\d\d:00.*\] .*INFO.*: .*GET \/x: request completed.*\n$/)
  t.match(pretty?.('{"level":40,"time":0,"msg":"careful"}\n'), /WARN.*: .*careful/)
  t.notMatch(pretty?.('{"level":40,"time":0,"pid":1,"msg":"careful"}\n'), 'pid')
})
