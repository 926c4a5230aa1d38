import t from 'tap'
import { request } from '../fixtures/server.js'
import { echo, gateway } from '../fixtures/upstream.js'

const NAVIGATION = ['Accept', 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8'] as const

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

t.test("other errors are Fastify's to answer, and an app's own error handler comes before", async t => {
  const { port } = await gateway(t, { upstream: 'http://127.0.0.1:1' })
  const answer = await request(port, 'GET', '/', [['Host', 'localhost'], NAVIGATION])
  t.equal(answer.status, 502)
  t.match(JSON.parse(answer.body), { code: 'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE' })
  const own = await gateway(t, {
    upstream: await echo(t),
    before: app => { app.setErrorHandler((_error, _request, reply) => { reply.code(418).send('own') }) }
  })
  t.match(await request(own.port, 'GET', '/', [['Host', 'evil.com']]), { status: 418, body: 'own' })
})
