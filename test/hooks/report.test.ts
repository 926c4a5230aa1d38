import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { get } from 'node:http'
import t from 'tap'
import { CREATE_RUN, createServer, listen, request, warnings } from '../fixtures/server.js'
import { socketPath } from '../fixtures/sockets.js'

const CHANNEL = 'fastify-mlflow-security.refused'
const WARN = 40

t.test('a refusal is one warning with fields, and a message on the diagnostics channel', async t => {
  const messages: unknown[] = []
  const listener = (message: unknown) => { messages.push(message) }
  subscribe(CHANNEL, listener)
  t.teardown(() => unsubscribe(CHANNEL, listener))
  const { app, lines } = createServer(t)
  const port = await listen(app)
  await request(port, 'GET', '/?a', [['Host', 'evil.com']])
  await request(port, 'POST', CREATE_RUN, [['Host', 'localhost'], ['Origin', 'https://evil.com']])
  await request(port, 'GET', '/', [['Host', `${'a'.repeat(3000)}`]])
  await request(port, 'GET', '/', [['Host', 'localhost']])
  const host = { check: 'host', code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', statusCode: 403, host: 'evil.com', origin: undefined, method: 'GET', url: '/?a', remoteAddress: '127.0.0.1', reportOnly: false }
  const origin = { check: 'origin', code: 'FST_MLFLOW_SECURITY_CROSS_ORIGIN', statusCode: 403, host: 'localhost', origin: 'https://evil.com', method: 'POST', url: CREATE_RUN }
  const long = { check: 'host', code: 'FST_MLFLOW_SECURITY_HOST_MALFORMED', statusCode: 400, host: 'a'.repeat(255) }
  t.match(messages, [host, origin, long])
  t.equal(messages.length, 3)
  await request(port, 'POST', `/${'u'.repeat(3000)}`, [['Host', 'localhost'], ['Origin', 'o'.repeat(3000)]])
  t.match(messages.pop(), { url: /^.{255}$/, origin: /^.{255}$/ }, 'values of the request are cut')
  t.match(messages.at(-1), { host: /^.{255}$/ })
  lines.splice(lines.findLastIndex(({ level }) => level === WARN), 1)
  t.match(warnings(lines), [{ ...host, msg: /^Invalid Host header/ }, { ...origin, msg: /^Cross-origin request blocked/ }, long])
  t.equal(warnings(lines).length, 3)
})

t.test('a refusal goes through the error pipeline, with code and status and without a stack', async t => {
  const { app } = createServer(t)
  const seen: unknown[] = []
  app.addHook('onError', async (_request, _reply, error) => { seen.push(error.code, error.statusCode, error.stack) })
  const plain = await app.inject({ url: '/', headers: { host: 'evil.com' } })
  t.match(plain.json(), { statusCode: 403, code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', error: 'Forbidden', message: /^Invalid Host header/ })
  t.same(seen, ['FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 403, undefined])

  const custom = createServer(t)
  custom.app.setErrorHandler((error, _request, reply) => {
    const { code = '', statusCode = 500 } = error instanceof Error ? error as { code?: string, statusCode?: number } : {}
    reply.code(statusCode).type('text/plain').send(`refused: ${code}`)
  })
  const response = await custom.app.inject({ method: 'POST', url: CREATE_RUN, headers: { origin: 'https://evil.com' } })
  t.match(response, { statusCode: 403, body: 'refused: FST_MLFLOW_SECURITY_CROSS_ORIGIN', headers: { 'x-frame-options': 'SAMEORIGIN' } })
})

t.test('report only: the same log line and message, marked, and the request goes on', async t => {
  const messages: unknown[] = []
  const listener = (message: unknown) => { messages.push(message) }
  subscribe(CHANNEL, listener)
  t.teardown(() => unsubscribe(CHANNEL, listener))
  const { app, lines } = createServer(t, { reportOnly: true })
  t.match(await app.inject({ url: '/', headers: { host: 'evil.com' } }), { statusCode: 200, body: 'ok' })
  const posted = await app.inject({ method: 'POST', url: CREATE_RUN, headers: { origin: 'https://evil.com' } })
  t.match(posted, { statusCode: 200, body: 'created', headers: { vary: 'Origin' } })
  t.notOk('access-control-allow-origin' in posted.headers, 'CORS headers stay as they would be')
  t.match(messages, [{ check: 'host', reportOnly: true }, { check: 'origin', reportOnly: true }])
  const marked = { reportOnly: true, msg: /^Report only, the request goes on: / }
  t.match(warnings(lines), [{ msg: /^reportOnly is on/ }, marked, marked])
})

t.test('a client without an address, on a Unix socket, is refused like any other', async t => {
  const { app, lines } = createServer(t)
  const path = socketPath(t)
  await app.listen({ path })
  const status = await new Promise(resolve => {
    get({ socketPath: path, headers: { host: 'evil.com' } }, response => { response.resume(); resolve(response.statusCode) })
  })
  t.equal(status, 403)
  const [line] = warnings(lines)
  t.match(line, { host: 'evil.com', check: 'host' })
  t.notOk(line?.remoteAddress)
})

t.test('what a proxy says of the client is cut at 255 characters', async t => {
  const { app, lines } = createServer(t, {}, { trustProxy: true })
  await app.inject({ url: '/', headers: { host: 'evil.com', 'x-forwarded-for': '9'.repeat(5000) } })
  t.equal(warnings(lines)[0]?.remoteAddress, '9'.repeat(255))
})

t.test('a logger that throws leaves the decision as it is', async t => {
  const stream = { write () { throw new Error('disk full') } }
  const { app } = createServer(t, {}, { logger: { level: 'warn', stream } })
  t.equal((await app.inject({ url: '/', headers: { host: 'evil.com' } })).statusCode, 403)
})
