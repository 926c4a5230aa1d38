import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { listening, run, says, start } from '../fixtures/programs.js'
import { request } from '../fixtures/server.js'
import { certificate, echo, upstream } from '../fixtures/upstream.js'
import { until } from '../fixtures/until.js'

const WITHOUT = new URL('../fixtures/without-package.mjs', import.meta.url).href
const HOST = ['Host', 'localhost'] as const

t.test('a wrong flag or setting is one line on standard error, and an exit code', async t => {
  const up = ['--upstream', 'http://127.0.0.1:1']
  const taken = createServer()
  await new Promise<void>(resolve => { taken.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => taken.close())
  const takenPort = String((taken.address() as AddressInfo).port)

  const pem = join(t.testdir({ 'text.pem': 'text' }), 'text.pem')

  for (const [args, expected, message] of [
    [[...up, '--cert', pem, '--key', pem], 2, /^fastify-mlflow-security: --cert and --key: this is not a certificate and its key in PEM, [^\n]*\n$/],
    [[...up, '--upstream-ca', pem], 2, /^fastify-mlflow-security: --upstream-ca: this is not a certificate in PEM, [^\n]*\n$/],
    [[...up, '--', 'mlflow', 'server'], 2, /^fastify-mlflow-security: --upstream http:\/\/127\.0\.0\.1:1 and -- mlflow do not go together: [^\n]*\n$/],
    [['--', 'mlflow', 'server', '--gunicorn-opts', '--bind 0.0.0.0:80'], 2, /^fastify-mlflow-security: --bind in --gunicorn-opts or MLFLOW_GUNICORN_OPTS would let people past [^\n]*\n$/],
    [['--', 'mlflow', 'server', '--uvicorn-opts=--host=0.0.0.0'], 2, /^fastify-mlflow-security: --host=0\.0\.0\.0 in --uvicorn-opts or MLFLOW_UVICORN_OPTS would let people past [^\n]*\n$/],
    [['--', 'serve-mlflow'], 2, /^fastify-mlflow-security: "serve-mlflow" does not say where the port goes: write \{port\} there[^\n]*\n$/],
    [['--bogus'], 2, /^fastify-mlflow-security: Unknown flag --bogus\. See --help\.\n$/],
    [[...up, '--allowed-hosts', 'https://a'], 2, /^fastify-mlflow-security: allowedHosts [^\n]*\n$/],
    // What may be right another time is no wrong setting: systemd tries again.
    [[...up, '--port', takenPort], 1, /^fastify-mlflow-security: --port: 127\.0\.0\.1:\d+ is taken by another program\. Choose another port, or end that program\.\n$/],
    [[...up, '--port', '0', '--metrics', takenPort], 1, /^fastify-mlflow-security: --metrics: 127\.0\.0\.1:\d+ is taken by another program\.[^\n]*\n$/],
    [[...up, '--port', '0', '--host', '192.0.2.1'], 1, /^fastify-mlflow-security: --host: 192\.0\.2\.1 is not an address of this machine\. [^\n]*\n$/],
    [[...up, '--port', '0', '--host', 'no-such-name.invalid'], 1, /^fastify-mlflow-security: --host: the name "no-such-name\.invalid" does not resolve[^\n]*\n$/]
  ] as const) {
    const { code, out, err } = await run(t, args)
    t.match(err, message)
    t.equal(code, expected)
    t.notMatch(out, 'Protecting')
  }
})

t.test('check prints its verdict, and exits with 1 where it refuses', async t => {
  t.match(await run(t, ['check', '--host-header', 'localhost']), { code: 0, out: /^Allowed\n/, err: /^$/ })
  t.match(await run(t, ['check', '--host-header', 'mlflow.lan']), { code: 1, out: /^Refused: 403 /, err: /^$/ })
})

t.test('it starts, says what it does in JSON lines, protects, and ends when its requests have', async t => {
  let finish: (() => void) | undefined
  const target = await upstream(t, (request, response) => {
    if (request.url === '/slow') finish = () => response.end('slow')
    else response.end(`${request.method} ${request.url}`)
  })
  const { child, port, said } = await listening(t, ['--allowed-hosts', 'localhost', '--allowed-hosts', 'a.com,b.com', '--frame-ancestors', 'https://nb'], {
    MLFLOW_TRACKING_URI: target, MLFLOW_SERVER_ALLOWED_HOSTS: 'env.com', MLFLOW_SERVER_X_FRAME_OPTIONS: 'DENY'
  })
  const lines = said.out.trim().split('\n').map(line => JSON.parse(line))
  t.match(lines, [
    { mlflowSecurity: { allowedHosts: ['localhost', 'a.com', 'b.com'], xFrameOptions: 'DENY', frameAncestors: ['https://nb'] } },
    { msg: `Protecting ${target} at http://127.0.0.1:${port}` }
  ])
  t.match(await request(port, 'GET', '/x', [HOST]), { status: 200, body: 'GET /x', headers: { 'x-frame-options': 'DENY' } })
  t.equal((await request(port, 'GET', '/x', [['Host', 'env.com']])).status, 403, 'a flag comes before its variable')

  const socket = connect(port, '127.0.0.1')
  socket.setEncoding('latin1').write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until(() => finish !== undefined)
  child.kill('SIGTERM')
  await says({ child, said }, /SIGTERM: running requests may finish/)
  finish?.()
  const [answer] = await once(socket, 'data')
  t.match(answer, /^HTTP\/1\.1 200 OK[^]*slow/, 'a running request finishes')
  t.same(await once(child, 'close'), [0, null])
  t.notMatch(said.out, /"level":[56]0/, 'nothing went wrong')
  t.equal(said.err, '')
})

t.test('the start line has the address below the static prefix, where the UI is', async t => {
  const started = start(t, ['--upstream', await echo(t), '--port', '0', '--static-prefix', '/mlflow'])
  t.match(await says(started, /Protecting http:\S+ at http:\/\/127\.0\.0\.1:\d+(\S*)"/), { 1: '/mlflow' })
})

t.test('how long idle connections are kept, how long headers may be, and where a login form may be posted from elsewhere', async t => {
  const { port } = await listening(t, [
    '--upstream', await echo(t), '--keep-alive-timeout', '1', '--max-header-size', '40000', '--callback-paths', '/callback,/ml/saml', '--static-prefix', '/ml'
  ])
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [answer] = await once(socket, 'data')
  const begun = Date.now()
  t.match(answer, /\r\nKeep-Alive: timeout=1\r\n/i)
  await once(socket.resume(), 'close')
  t.ok(Date.now() - begun >= 900, `${Date.now() - begun} ms`)

  t.equal((await request(port, 'GET', '/', [HOST, ['X-Long', 'a'.repeat(12_000)]])).status, 200)
  t.equal((await request(port, 'GET', '/', [HOST, ['X-Long', 'a'.repeat(41_000)]])).status, 431)

  const form = [HOST, ['Origin', 'https://login.example'], ['Content-Type', 'application/x-www-form-urlencoded']] as const
  for (const [path, status] of [['/callback', 200], ['/ml/saml', 200], ['/ml/callback', 403], ['/ml/api/2.0/mlflow/runs/create', 403]] as const) {
    t.equal((await request(port, 'POST', path, form)).status, status, path)
  }
  t.equal((await request(port, 'POST', '/callback', [...form.slice(0, 2), ['Content-Type', 'application/json']])).status, 403)
})

t.test('localhost is one address to listen on', async t => {
  await says(start(t, ['--upstream', await echo(t), '--port', '0', '--host', 'localhost']), /Protecting http:\S+ at http:\/\/127\.0\.0\.1:\d+"/)
})

t.test('open WebSockets do not keep it from ending', async t => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  t.teardown(() => sockets.close())
  const { child, port } = await listening(t, ['--upstream', `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`, '--shutdown-timeout', '0.5'])
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
  await once(socket, 'open')
  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null])
})

t.test('connections that were never used do not keep it from ending', async t => {
  const { child, port } = await listening(t, ['--upstream', await echo(t), '--host', '::1'])
  const socket = connect(port, '::1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  await request(port, 'GET', '/', [HOST]).catch(() => {})
  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null])
})

t.test('an upstream elsewhere may have the same port', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const started = start(t, ['--upstream', `http://mlflow.internal:${port}`, '--port', String(port)])
  await says(started, /Protecting/)
  t.match(started.said.out, `Protecting http://mlflow.internal:${port} at http://127.0.0.1:${port}`)
})

t.test('SIGINT ends it as well; the environment alone is enough', async t => {
  const { child, port } = await listening(t, ['--log-level', 'info'], { MLFLOW_TRACKING_URI: await echo(t), MLFLOW_SERVER_ALLOWED_HOSTS: 'env.com' })
  t.equal((await request(port, 'GET', '/', [['Host', 'env.com']])).status, 200)
  t.equal((await request(port, 'GET', '/', [HOST])).status, 403)
  child.kill('SIGINT')
  t.same(await once(child, 'close'), [0, null])
})

t.test('an error that nobody has caught ends it with 1', async t => {
  const script = "process.once('SIGUSR2', () => { throw new Error('unforeseen') })"
  const { child, said } = await listening(t, ['--upstream', await echo(t)], {}, ['--import', `data:text/javascript,${encodeURIComponent(script)}`])
  child.kill('SIGUSR2')
  t.same(await once(child, 'close'), [1, null])
  t.match(said.out, /"level":60.*unforeseen/)
})

t.test('https of its own, a report only, a static prefix, a trusted proxy', async t => {
  const tls = certificate()
  const folder = t.testdir({ 'cert.pem': tls.cert, 'key.pem': tls.key })
  const secure = await listening(t, [
    '--upstream', await echo(t), '--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem'), '--upstream-ca', join(folder, 'cert.pem'),
    '--report-only', '--static-prefix', '/mlflow', '--trust-proxy', '127.0.0.1', '--trust-proxy', '10.0.0.0/8', '--upstream-timeout', '60'
  ])
  const { Agent, fetch } = await import('undici')
  const dispatcher = new Agent({ connect: { ca: tls.cert } })
  t.teardown(() => dispatcher.destroy())
  const response = await fetch(`https://127.0.0.1:${secure.port}/x`, { dispatcher, headers: { 'x-forwarded-host': 'evil.com', 'x-forwarded-for': '9.9.9.9' } })
  t.equal(response.status, 200)
  t.match(secure.said.out, /Protecting http:\S+ at https:\/\/127\.0\.0\.1/)
  t.match(secure.said.out, /Report only, the request goes on: [^\n]*X-Forwarded-Host/)
  t.match(secure.said.out, '"healthRoutes":["/mlflow/health","/mlflow/version"]')
  t.match(secure.said.out, '"remoteAddress":"9.9.9.9"')
})

t.test('beyond this machine, on the default list, it says which addresses people can use', async t => {
  const target = await echo(t)
  const open = await listening(t, ['--upstream', target, '--host', '0.0.0.0'])
  await says(open, /People can use/)
  t.match(open.said.out, new RegExp(`People can use http://localhost:${open.port}.*--allowed-hosts \\\\"@default`))
  const explicit = await listening(t, ['--upstream', target, '--host', '0.0.0.0', '--allowed-hosts', 'localhost'])
  t.equal((await request(explicit.port, 'GET', '/', [HOST])).status, 200)
  t.notMatch(explicit.said.out, 'People can use')
})

t.test('--metrics serves figures on a port of its own, protected as well', async t => {
  const { port, said } = await listening(t, ['--upstream', await echo(t), '--metrics', '0', '--allowed-hosts', 'mlflow.company.com'])
  const own = Number(/"Metrics for Prometheus: http:\/\/127\.0\.0\.1:(\d+)\/metrics"/.exec(said.out)?.[1])
  const company = ['Host', 'mlflow.company.com'] as const
  await request(port, 'GET', '/a', [company])
  t.match((await request(own, 'GET', '/metrics', [company])).body, /^mlflow_gateway_requests_total\{method="GET",status="200"\} 1$/m)
  t.equal((await request(own, 'GET', '/metrics', [['Host', 'evil.com']])).status, 403)
  t.equal((await request(port, 'GET', '/metrics', [company])).body, 'GET /metrics', 'the path itself is the upstream\'s')
  const elsewhere = await listening(t, ['--upstream', await echo(t), '--metrics', '[::1]:0'])
  const figures = /Metrics for Prometheus: (http:\/\/\[::1\]:\d+\/metrics)"/.exec(elsewhere.said.out)?.[1] ?? ''
  t.equal((await fetch(figures, { headers: { 'sec-fetch-site': 'none' } })).status, 200)
})

t.test('a package that is missing is named with the line that installs it', async t => {
  for (const name of ['undici', 'prom-client']) {
    const { code, err } = await run(t, ['--upstream', 'http://127.0.0.1:1', '--port', '0', '--metrics', '0'], {}, ['--import', `${WITHOUT}?${name}`])
    t.equal(err, `fastify-mlflow-security: The gateway needs ${name}, which is not installed. Run npm install ${name}, or npm install --include=optional for everything that the gateway needs\n`)
    t.equal(code, 2)
  }
})

t.test('what is wrong with the program itself shows its stack', async t => {
  const { code, err } = await run(t, ['--upstream', 'http://127.0.0.1:1'], {}, ['--import', `${WITHOUT}?undici&broken`])
  t.match(err, /^Error: broken\n +at /)
  t.equal(code, 2)
})

t.test('JSON lines on a terminal where pino-pretty is not installed', async t => {
  const isTerminal = 'process.stdout.isTTY = true'
  const { said } = await listening(t, ['--upstream', await echo(t)], {}, [
    '--import', `${WITHOUT}?pino-pretty`, '--import', `data:text/javascript,${encodeURIComponent(isTerminal)}`
  ])
  t.match(said.out, /^\{"level":30/)
})
