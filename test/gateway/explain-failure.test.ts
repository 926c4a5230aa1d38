import { once } from 'node:events'
import { createServer as createSocketServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { explain } from '../../lib/gateway/explain-failure.js'
import { request } from '../fixtures/server.js'
import { gateway, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('an error without a code is explained by its message', async t => {
  t.match(explain(new Error('something else'), { origin: 'http://a', host: 'a', ca: undefined }), /http:\/\/a does not answer \(something else\)\. Is the MLflow server running there\?/)
})

async function refusal (pending: Promise<Response>): Promise<unknown> {
  const response = await pending
  return { status: response.status, ...await response.json() }
}

t.test('an upstream that is down or hangs up is a 502 in words, and one that is slow is waited for', async t => {
  const closing = createSocketServer(socket => { socket.once('data', () => socket.destroy()) })
  closing.listen(0, '127.0.0.1')
  await once(closing, 'listening')
  t.teardown(() => closing.close())
  const hangsUp = closing.address() as AddressInfo
  const slow = await upstream(t, (_request, response) => { setTimeout(() => response.end('late'), 1500) })
  const code = 'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE'

  for (const target of ['http://127.0.0.1:1', `http://127.0.0.1:${hangsUp.port}`, 'http://nothing.invalid']) {
    const { port, lines } = await gateway(t, { upstream: target })
    t.match(await refusal(fetch(`http://127.0.0.1:${port}/`)), { status: 502, code, message: /cannot be reached, or its answer is broken\. Is it running\?/ }, target)
    t.match(lines.find(({ level }) => level === 40), { code: /ECONNREFUSED|UND_ERR_SOCKET|ENOTFOUND|EAI_AGAIN/ }, 'the log says why')
    t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 502, 'the gateway lives on')
  }
  const patient = await gateway(t, { upstream: slow })
  t.equal((await fetch(`http://127.0.0.1:${patient.port}/`)).status, 200)
  const impatient = await gateway(t, { upstream: slow, upstreamTimeout: 0.2 })
  t.match(await refusal(fetch(`http://127.0.0.1:${impatient.port}/`)), { status: 504, code: 'FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT' })
})

t.test('an upstream that is away is one sentence a request, and one more when it is back', async t => {
  let isAway = true
  const target = await upstream(t, (_request, response) => { if (isAway) response.destroy(); else response.end('ok') })
  const { port, lines } = await gateway(t, { upstream: target })
  const ask = async () => (await request(port, 'GET', '/', [HOST])).status
  t.strictSame([await ask(), await ask()], [502, 502])
  isAway = false
  t.strictSame([await ask(), await ask()], [200, 200])
  t.match(lines.filter(({ msg }) => /^No answer/.test(String(msg))), [
    { level: 40, code: 'UND_ERR_SOCKET', err: undefined, msg: new RegExp(`${target} does not answer`) }, { level: 40 }
  ])
  t.match(lines.filter(({ msg }) => /answers again/.test(String(msg))), [{ level: 30, msg: `The upstream answers again: ${target}` }])
  t.equal(lines.filter(({ msg }) => /answers again/.test(String(msg))).length, 1)
})
