import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { freePort } from '../../lib/cli/child/ports.js'
import { probe } from '../../lib/cli/probe.js'
import { createGateway } from '../../lib/gateway.js'
import { listening, says, warnings } from '../fixtures/programs.js'
import { logTo, request } from '../fixtures/server.js'
import { certificate, echo, INVALID_HOST, tlsUpstream, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const
/** Starts the command, waits for one warning, and ends it. */
async function warned (t: Test, args: readonly string[]): Promise<string[]> {
  const started = await listening(t, args)
  await says(started, /"level":40/)
  return await warnings(started)
}

t.test('what is wrong with the upstream is one line that names the flag and the fix', async t => {
  const tls = certificate()
  const other = certificate('other')
  const ca = join(t.testdir({ 'other.pem': other.cert, 'own.pem': tls.cert }), 'other.pem')
  const secure = await tlsUpstream(t, (_request, response) => { response.end('ok') }, tls)
  const plain = await echo(t)
  const cases: Array<[args: string[], said: RegExp]> = [
    [['--upstream', 'http://no-such-name.invalid:5000'], /^--upstream \(MLFLOW_TRACKING_URI\): the name in http:\/\/no-such-name\.invalid:5000 does not resolve to an address\./],
    [['--upstream', `http://127.0.0.1:${await freePort()}`], /^--upstream .*: http:\/\/127\.0\.0\.1:\d+ does not answer \(ECONNREFUSED\)\. Is the MLflow server running there\? Until then requests get 502\.$/],
    [['--upstream', secure], /^--upstream .*: https:\S+ has a certificate that no well-known authority has signed \(DEPTH_ZERO_SELF_SIGNED_CERT\)\. Name the file with the certificate to trust: --upstream-ca FILE\./],
    [['--upstream', secure, '--upstream-ca', ca], /has a certificate that nobody in the file of --upstream-ca has signed/],
    [['--upstream', secure.replace('127.0.0.1', 'localhost'), '--upstream-ca', ca.replace('other', 'own')], /is not valid for it \(.*altnames.*\)/],
    [['--upstream', plain.replace('http:', 'https:')], /does not speak TLS\. Is it http:\/\/127\.0\.0\.1:\d+\?/]
  ]
  for (const [args, said] of cases) {
    const lines = await warned(t, args)
    t.match(lines, [said])
    t.equal(lines.length, 1, args.join(' '))
  }
})

t.test('a variable that a flag overrules is a warning at the start', async t => {
  const started = await listening(t, ['--upstream', await echo(t), '--allowed-hosts', 'localhost'], { MLFLOW_SERVER_ALLOWED_HOSTS: 'a.com' })
  await says(started, /"level":40/)
  t.strictSame(await warnings(started), ['--allowed-hosts is used, MLFLOW_SERVER_ALLOWED_HOSTS is ignored'])
})

t.test('an upstream that hangs up, or does not answer, is said to be so', async t => {
  const { logger, lines } = logTo()
  const gateway = createGateway({ upstream: 'http://127.0.0.1:1', fastify: { logger } })
  t.teardown(() => gateway.close())
  await gateway.ready()
  const silent = new URL(await upstream(t, (request, response) => { if (request.url !== '/x/') response.destroy() }))
  const target = { origin: silent.origin, host: silent.host, headersTimeout: 0, ca: undefined }
  await probe(gateway, { ...target, path: '' })
  t.match(lines.at(-1), { level: 40, msg: /does not answer \(ECONNRESET\)/ })
  await probe(gateway, { ...target, path: '/x' }, '', 100)
  t.match(lines.at(-1), { level: 40, msg: /does not answer \(ETIMEDOUT\)/ })
})

t.test('an upstream that answers in the wrong place is one warning, a login is none', async t => {
  const target = await upstream(t, ({ url }, response) => {
    const status = { '/ml/': 200, '/ml/health': 200, '/page/health': 200, '/login/': 401, '/away/': 302, '/tls/': 400 }[url ?? ''] ?? 404
    response.writeHead(status).end()
  })
  const { origin, host } = new URL(target)
  for (const [path, staticPrefix, said] of [
    ['', '/ml', undefined], ['/ml', '', undefined], ['/login', '', undefined], ['/away', '', undefined], ['/page', '', undefined],
    ['/mlflow', '', /^--upstream .*: http:\S+ answered 404 at \/mlflow\/ and \/mlflow\/health\. Is the path of --upstream or --static-prefix right\?$/],
    ['', '/mlflow', / answered 404 at \/mlflow\/ and /], ['/ml', '/ml', / answered 404 at \/ml\/ml\/ and /],
    ['/tls', '', / answered 400\. Does it want https:\/\/127\.0\.0\.1:\d+\?$/]
  ] as const) {
    const { logger, lines } = logTo()
    const gateway = createGateway({ upstream: target, fastify: { logger } })
    t.teardown(() => gateway.close())
    await gateway.ready()
    await probe(gateway, { origin, host, path, headersTimeout: 0, ca: undefined }, staticPrefix)
    const warned = lines.filter(({ level }) => level > 30)
    t.equal(warned.length, said === undefined ? 0 : 1, `${path} ${staticPrefix}`)
    if (said !== undefined) t.match(warned, [{ level: 40, msg: said }])
  }
})

t.test('http to a port that speaks TLS, and a server by https that answers 400', async t => {
  const { logger, lines } = logTo()
  const tls = certificate()
  const secure = new URL(await tlsUpstream(t, (_request, response) => { response.writeHead(400).end() }, tls))
  const gateway = createGateway({ upstream: 'http://127.0.0.1:1', fastify: { logger } })
  t.teardown(() => gateway.close())
  await gateway.ready()
  const { host } = secure
  await probe(gateway, { origin: secure.origin, host, path: '', headersTimeout: 0, ca: tls.cert })
  t.strictSame(lines.filter(({ level }) => level > 30), [])
  await probe(gateway, { origin: `http://${host}`, host, path: '', headersTimeout: 0, ca: undefined })
  t.match(lines.at(-1), { level: 40, msg: /Does it want https:/ })
})

t.test('a refusal without a body is nobody\'s in particular', async t => {
  const { logger, lines } = logTo()
  const gateway = createGateway({ upstream: 'http://127.0.0.1:1', fastify: { logger } })
  t.teardown(() => gateway.close())
  await gateway.ready()
  const { origin, host } = new URL(await upstream(t, (_request, response) => { response.writeHead(403).end() }))
  await probe(gateway, { origin, host, path: '', headersTimeout: 0, ca: undefined })
  t.strictSame(lines.filter(({ level }) => level > 30), [])
})

t.test('MLflow\'s own refusal is recognised at the start, and said once', async t => {
  const gateway = await listening(t, ['--upstream', await upstream(t, (_request, response) => {
    response.writeHead(403, { 'content-type': 'text/plain' }).end(INVALID_HOST)
  })])
  await says(gateway, /"level":40/)
  for (let i = 0; i < 3; i++) t.match(await request(gateway.port, 'GET', '/', [HOST]), { status: 403, body: INVALID_HOST })
  const lines = await warnings(gateway)
  t.match(lines, [/^The MLflow server itself refuses the requests of this gateway: .* "127\.0\.0\.1:\d+", the name that the gateway uses/])
  t.match(lines, [/Remove MLFLOW_SERVER_ALLOWED_HOSTS \(--allowed-hosts\) from the MLflow server/])
  t.equal(lines.length, 1)
})
