import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import mlflowGateway, { createGateway } from '../../lib/gateway.js'
import { hasOwnErrorHandler } from '../../lib/gateway/error-answers.js'
import { AmbiguousPathError } from '../../lib/gateway/errors.js'
import { createApp, listen, request } from '../fixtures/server.js'
import { echo, gateway, recorder, upstream } from '../fixtures/upstream.js'

const NAVIGATION = ['Accept', 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8'] as const
const HOST = ['Host', 'localhost'] as const

t.test("a refusal has MLflow's own error_code, which its Python client names", async t => {
  const { port } = await gateway(t, { upstream: await echo(t) })
  for (const [method, headers, status, code] of [
    ['GET', [['Host', 'evil.com']], 403, 'PERMISSION_DENIED'],
    ['GET', [['Host', 'a b']], 400, 'INVALID_PARAMETER_VALUE'],
    ['POST', [['Host', 'localhost'], ['Origin', 'https://evil.com']], 403, 'PERMISSION_DENIED']
  ] as const) {
    const answer = await request(port, method, '/api/2.0/mlflow/runs/create', headers)
    t.equal(answer.status, status)
    t.match(JSON.parse(answer.body), {
      statusCode: status, code: /^FST_MLFLOW_SECURITY_/, error: /./, message: /attack detected|blocked/, error_code: code
    })
    t.match(answer.headers, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', 'x-frame-options': 'SAMEORIGIN' })
  }
})

t.test('a browser that navigates gets a page in words: no script, every value escaped', async t => {
  const { port } = await gateway(t, { upstream: await echo(t) })
  const answer = await request(port, 'GET', '/', [['Host', '<script>alert(1)</script>&"'], NAVIGATION])
  t.equal(answer.status, 400)
  t.match(answer.headers, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': /^default-src 'none'/,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff'
  })
  t.match(answer.body, /<h1>400 Bad Request<\/h1>/)
  t.notMatch(answer.body, /<script/i)
  t.match(answer.body, '&#60;script&#62;alert(1)&#60;/script&#62;&#38;')
  const named = await request(port, 'GET', '/', [['Host', 'mlflow.lan'], NAVIGATION])
  t.match(named.body, /Add &#34;mlflow\.lan&#34; to allowedHosts [^]*<code>FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED<\/code>/)
  t.match((await request(port, 'GET', '/', [['Host', 'mlflow.lan'], ['Accept', 'application/json, text/plain']])).headers, { 'content-type': /json/ })
})

t.test('what else the gateway answers itself has the same form, for clients and for browsers', async t => {
  const slow = await upstream(t, () => {})
  for (const [options, path, headers, status, code] of [
    [{ upstream: 'http://127.0.0.1:1' }, '/', [], 502, 'TEMPORARILY_UNAVAILABLE'],
    [{ upstream: slow, upstreamTimeout: 0.1 }, '/', [], 504, 'DEADLINE_EXCEEDED'],
    [{ upstream: slow }, '/a/../b', [], 400, 'INVALID_PARAMETER_VALUE'],
    [{ upstream: slow, disableSecurityMiddleware: true }, '/', [['Host', 'b']], 400, 'INVALID_PARAMETER_VALUE'],
    [{ upstream: slow }, '/', [['Transfer-Encoding', 'gzip, chunked']], 501, 'NOT_IMPLEMENTED']
  ] as const) {
    const { port } = await gateway(t, options)
    const name = `${status} ${path}`
    t.match(JSON.parse((await request(port, 'GET', path, [['Host', 'localhost'], ...headers])).body), { statusCode: status, error_code: code, message: /./ }, name)
    const page = await request(port, 'GET', path, [['Host', 'localhost'], ...headers, NAVIGATION])
    t.match(page, { status, headers: { 'content-type': 'text/html; charset=utf-8' }, body: status < 500 ? /has refused the request/ : /cannot answer the request/ }, name)
  }
})

t.test("what the gateway does not know is Fastify's to answer", async t => {
  const { port } = await gateway(t, {
    upstream: await echo(t),
    before: app => { app.get('/own', async () => { throw Object.assign(new Error('own'), { statusCode: 418, code: 'toString' }) }) }
  })
  const answer = await request(port, 'GET', '/own', [['Host', 'localhost'], NAVIGATION])
  t.match(answer, { status: 418, headers: { 'content-type': /json/ } })
  t.notOk(JSON.parse(answer.body).error_code)
  t.match(JSON.parse((await request(port, 'GET', '/own', [['Host', 'evil.com']])).body), { error_code: 'PERMISSION_DENIED' }, "what is refused of the app's own routes is the gateway's")
})

t.test("an app's own error handler comes before, whenever it is set, and without a warning", async t => {
  const warnings: Error[] = []
  const listener = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', listener)
  t.teardown(() => { process.off('warning', listener) })
  const own = (_error: Error, _request: FastifyRequest, reply: FastifyReply): void => { reply.code(418).send('own') }
  const target = await echo(t)
  const before = createGateway({ upstream: target, before: app => { app.setErrorHandler(own); app.get('/own', async () => 'ok') } })
  const after = createGateway({ upstream: target })
  after.setErrorHandler(own)
  const nested = createGateway({
    upstream: target, before: app => app.register(async app => { app.setErrorHandler(own); app.get('/own', async () => 'ok') })
  })
  for (const [app, path, status] of [[before, '/', 418], [before, '/own', 418], [after, '/', 418], [nested, '/own', 418], [nested, '/', 403]] as const) {
    t.teardown(() => app.close())
    t.equal((await app.inject({ url: path, headers: { host: 'evil.com' } })).statusCode, status, path)
  }
  await new Promise(resolve => { setImmediate(resolve) }) // warnings come late
  t.strictSame(warnings, [])
})

t.test('as a plugin it answers for its own routes alone', async t => {
  const { app } = createApp(t)
  app.get('/own', async () => { throw new AmbiguousPathError() })
  await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
  app.addHook('preHandler', async () => {}) // hooks that come later change nothing of it
  const port = await listen(app)
  t.match(JSON.parse((await request(port, 'GET', '/', [['Host', 'evil.com']])).body), { error_code: 'PERMISSION_DENIED' })
  t.match(JSON.parse((await request(port, 'GET', '/health', [['Host', 'evil.com']])).body), { error_code: 'TEMPORARILY_UNAVAILABLE' })
  t.match(await request(port, 'GET', '/', [['Host', 'localhost'], NAVIGATION]), { status: 502, headers: { 'content-type': /html/ } })
  for (const host of ['localhost', 'evil.com']) {
    t.notOk(JSON.parse((await request(port, 'GET', '/own', [['Host', host], NAVIGATION])).body).error_code, 'an own route is answered as ever')
  }
  t.notOk(hasOwnErrorHandler(app))

  const { app: handled } = createApp(t)
  handled.setErrorHandler((error: FastifyError, _request, reply) => { reply.code(418).send(error.code) })
  await handled.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
  t.ok(hasOwnErrorHandler(handled))
  t.match(await request(await listen(handled), 'GET', '/', [['Host', 'evil.com']]), { status: 418, body: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED' })
})

t.test('what fails in a hook that is added to it is not told as MLflow\'s failure', async t => {
  const { listener } = recorder()
  const app = createGateway({ upstream: await upstream(t, listener) })
  t.teardown(() => app.close())
  const codes = ['ECONNRESET', 'UND_ERR_CONNECT_TIMEOUT', 'HPE_INVALID']
  app.addHook('preHandler', async ({ headers }) => { throw Object.assign(new Error('the login server'), { code: codes[Number(headers['x-case'])] }) })
  app.setErrorHandler(({ message }: Error, _request, reply) => { reply.code(503).header('retry-after', '1').send(message) })
  const port = await listen(app)
  for (const [i, code] of codes.entries()) {
    t.match(await request(port, 'GET', '/', [HOST, ['X-Case', String(i)]]), { status: 503, body: 'the login server', headers: { 'retry-after': '1' } }, code)
  }
})
