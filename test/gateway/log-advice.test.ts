// What is said of an upstream that refuses by itself, and of a proxy that is not trusted.
import t from 'tap'
import { listening, warnings } from '../fixtures/programs.js'
import { request } from '../fixtures/server.js'
import { echo, INVALID_HOST, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('a refusal that is not MLflow\'s own is nothing to warn of', async t => {
  const target = await upstream(t, (request, response) => { response.writeHead(403).end(request.url === '/' ? '' : 'no login') })
  const gateway = await listening(t, ['--upstream', target])
  t.match((await request(gateway.port, 'GET', '/x', [HOST])).body, 'no login')
  t.strictSame(await warnings(gateway), [])
})

t.test('MLflow\'s own refusal is recognised in the answers too: MLflow may start later', async t => {
  const gateway = await listening(t, ['--upstream', await upstream(t, (request, response) => {
    if (request.url === '/') response.end('ok')
    else response.writeHead(403, { 'content-type': 'text/plain' }).end(request.url === '/host' ? INVALID_HOST : 'Cross-origin request blocked')
  })])
  for (const path of ['/host', '/origin', '/host']) t.equal((await request(gateway.port, 'POST', path, [HOST])).status, 403)
  const lines = await warnings(gateway)
  t.match(lines, [
    /^The MLflow server itself refuses/,
    /^The server at 127\.0\.0\.1:\d+ refuses requests itself: "Cross-origin request blocked"/
  ])
  t.equal(lines.length, 2)
})

t.test('with --disable-security-middleware it is said whose settings decide', async t => {
  const gateway = await listening(t, ['--disable-security-middleware', '--upstream', await upstream(t, (request, response) => {
    response.writeHead(403, { 'content-type': 'text/plain' }).end(request.method === 'GET' ? INVALID_HOST : 'Cross-origin request blocked')
  })])
  await request(gateway.port, 'GET', '/x', [HOST])
  await request(gateway.port, 'POST', '/x', [HOST])
  t.match((await warnings(gateway)).slice(1), [
    /^The MLflow server itself refuses requests\. .*MLFLOW_SERVER_ALLOWED_HOSTS/, /MLFLOW_SERVER_CORS_ALLOWED_ORIGINS/
  ])
})

t.test('a proxy on this machine that is not trusted is named once, with --trust-proxy', async t => {
  const target = await echo(t)
  const forwarded = [HOST, ['X-Forwarded-For', '9.9.9.9'], ['X-Forwarded-Proto', 'https']] as const
  const ask = async (args: readonly string[], headers: ReadonlyArray<readonly [string, string]> = forwarded): Promise<string[]> => {
    const gateway = await listening(t, ['--upstream', target, ...args])
    for (let i = 0; i < 3; i++) t.equal((await request(gateway.port, 'GET', '/', headers)).status, 200)
    return await warnings(gateway)
  }
  for (const args of [[], ['--trust-proxy', '10.0.0.0/8']]) {
    const lines = await ask(args)
    t.match(lines, [/^A proxy on this machine \(127\.0\.0\.1\) sends X-Forwarded-\* headers\. They are ignored.*--trust-proxy loopback$/])
    t.equal(lines.length, 1)
  }
  t.strictSame(await ask(['--trust-proxy', 'loopback']), [])
  t.strictSame(await ask(['--trust-proxy', 'loopback'], [HOST, ['X-Forwarded-Proto', 'https']]), [])
  t.strictSame(await ask([], [HOST]), [])
})
