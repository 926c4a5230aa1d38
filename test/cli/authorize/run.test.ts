import { once } from 'node:events'
import t from 'tap'
import { run, says, start } from '../../fixtures/programs.js'
import { request, send } from '../../fixtures/server.js'

const QUESTION = [['Host', 'x'], ['X-Original-Method', 'GET'], ['X-Original-URI', '/']] as const

t.test('authorize listens, answers and ends', async t => {
  const started = start(t, ['authorize', '--dialect', 'nginx', '--port', '0', '--allowed-hosts', 'mlflow.company.com'])
  const [, port] = await says(started, /Answering nginx at http:\/\/127\.0\.0\.1:(\d+)"/)
  t.equal((await request(Number(port), 'GET', '/', [...QUESTION, ['X-Original-Host', 'mlflow.company.com']])).status, 200)
  t.equal((await request(Number(port), 'GET', '/', [...QUESTION, ['X-Original-Host', 'evil.com']])).status, 403)
  const socket = [['Connection', 'Upgrade'], ['Upgrade', 'websocket'], ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==']] as const
  t.equal((await request(Number(port), 'GET', '/', [...QUESTION, ['X-Original-Host', 'mlflow.company.com'], ...socket])).status, 200, 'as Caddy asks for an upgrade')
  const upload = [...QUESTION, ['X-Original-Host', 'evil.com'], ['Expect', '100-continue'], ['Connection', 'close']].map(([name, value]) => `${name}: ${value}\r\n`)
  t.match(await send(Number(port), `GET / HTTP/1.1\r\n${upload.join('')}\r\n`), /^HTTP\/1\.1 403 /m, 'as engines ask that copy all headers of an upload')
  started.child.kill('SIGHUP')
  t.equal((await request(Number(port), 'GET', '/', [...QUESTION, ['X-Original-Host', 'mlflow.company.com']])).status, 200, 'SIGHUP ends nothing')
  started.child.kill('SIGTERM')
  t.same(await once(started.child, 'close'), [0, null])
})

t.test('an error that nobody has caught ends it with 1', async t => {
  const script = "process.once('SIGUSR2', () => { throw new Error('unforeseen') })"
  const started = start(t, ['authorize', '--dialect', 'envoy', '--port', '0'], {}, ['--import', `data:text/javascript,${encodeURIComponent(script)}`])
  await says(started, /Answering envoy/)
  started.child.kill('SIGUSR2')
  t.same(await once(started.child, 'close'), [1, null])
  t.match(started.said.out, /"level":60.*unforeseen/)
})

t.test('an address that cannot be listened on is one line', async t => {
  const first = start(t, ['authorize', '--dialect', 'envoy', '--host', 'localhost', '--port', '0'])
  const [, port = ''] = await says(first, /Answering envoy at http:\/\/127\.0\.0\.1:(\d+)"/)
  const { code, err } = await run(t, ['authorize', '--dialect', 'envoy', '--port', port])
  t.equal(code, 1)
  t.match(err, /^fastify-mlflow-security: --port: 127\.0\.0\.1:\d+ is taken by another program\./)
})

t.test('a wrong flag is one line', async t => {
  for (const [args, message] of [
    [[], /^fastify-mlflow-security: authorize needs --dialect ENGINE\./],
    [['--dialect', 'nginx', '--upstream', 'http://x'], /^fastify-mlflow-security: Unknown flag --upstream\./],
    [['--dialect', 'nginx', '--allowed-hosts', 'https://x'], /^fastify-mlflow-security: allowedHosts .*is a URL/]
  ] as const) {
    const { code, err } = await run(t, ['authorize', ...args])
    t.equal(code, 2)
    t.match(err, message)
  }
  t.match(await run(t, ['authorize', '--help']), { code: 0, out: /authorize --dialect ENGINE/ })
})
