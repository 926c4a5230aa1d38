import { createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { createRequests } from '../../../lib/cli/audit/requests.js'
import { parseTarget } from '../../../lib/cli/audit/target.js'
import { MAX_REQUESTS, openWire } from '../../../lib/cli/audit/wire.js'
import { startSecure } from '../../fixtures/audit-servers.js'
import { protect, startAudited } from '../../fixtures/audit-targets.js'
import { findings, ids, run } from '../../fixtures/audit.js'
import { run as runProgram } from '../../fixtures/programs.js'
import { certificate, tlsUpstream } from '../../fixtures/upstream.js'

const NAME = 'mlflow.company.com'

t.test('https and HTTP/2: a certificate of its own is a note, a foreign Host too', async t => {
  const safe = await startSecure(t, [])
  const report = await findings(safe.url)
  t.strictSame([ids(report, 'gap'), ids(report, 'note'), ids(report, 'inconclusive'), report.exitCode], [[], [], [], 0])
  t.strictSame(ids(report, 'held').filter(id => id.endsWith('http2')), ['authority-http2', 'foreign-http2'])
  t.match((await run(safe.url)).out, /^Note: browsers do not trust the certificate \(DEPTH_ZERO_SELF_SIGNED_CERT\)\. The audit/m)

  const open = await startSecure(t, ['any-host'])
  const rebound = await findings(open.url)
  t.strictSame([ids(rebound, 'gap'), ids(rebound, 'note'), rebound.exitCode], [[], ['foreign-host', 'authority-http2'], 0])
  t.match(rebound.findings.find(({ id }) => id === 'foreign-host')?.evidence, /By https this is not a gap/)

  const foreign = await findings((await startSecure(t, ['http2-origin'])).url)
  t.strictSame(ids(foreign, 'gap'), ['foreign-http2'])

  const own = { host: '' }
  const tls = certificate()
  const plain = await tlsUpstream(t, (request, response) => { protect(own.host, [], 'https')(request, response) }, tls)
  own.host = new URL(plain).host
  const old = await findings(plain)
  t.strictSame(ids(old, 'not applicable').filter(id => id.endsWith('http2')), ['authority-http2', 'foreign-http2'])
  t.equal(old.exitCode, 0)
  const target = parseTarget(plain, undefined, [])
  t.equal((await openWire(target, 10_000).sendHttp2(createRequests(target).page())).kind, 'unreachable', 'HTTP/2 with a server that does not speak it')
  const { url, port } = await startSecure(t, [], NAME)
  t.equal((await findings(url, '--connect', `127.0.0.1:${port}`)).exitCode, 0, 'a name in the TLS handshake')
})

t.test('an audit ends with its last request', async t => {
  const { url, asked } = await startAudited(t)
  const target = parseTarget(url, undefined, [])
  const wire = openWire(target, 10_000)
  const requests = createRequests(target)
  for (let i = 0; i < MAX_REQUESTS; i++) t.equal((await wire.send(requests.page())).kind, 'answer')
  t.match(await wire.send(requests.page()), { kind: 'unreachable', reason: 'the audit has sent its 120 requests' })
  t.equal(asked.length, MAX_REQUESTS)
})

t.test('a login goes to nobody whose certificate is not trusted', async t => {
  const { url, port, cert } = await startSecure(t, [])
  const env = { NODE_EXTRA_CA_CERTS: join(t.testdir({ 'cert.pem': cert }), 'cert.pem') }
  const login = ['--header', 'Authorization: Bearer x']
  t.match(await runProgram(t, ['audit', url, ...login], env), { code: 0, out: /^0 gaps, /m, err: /^$/ })
  t.match(await runProgram(t, ['audit', `https://${NAME}:${port}`, '--connect', '127.0.0.1', ...login], env), {
    code: 2,
    out: /^$/,
    err: /^fastify-mlflow-security: audit: [^\n]*altnames[^\n]* With --header, the certificate must be trusted[^\n]*\n$/
  })
  await t.rejects(run(url, '--header', 'Authorization: Bearer x'), {
    code: 'FST_MLFLOW_SECURITY_UNREACHABLE', message: /self-signed certificate\. With --header, the certificate must be trusted.*NODE_EXTRA_CA_CERTS=FILE/
  })
})

t.test('HTTP/2 that fails by itself is inconclusive', async t => {
  const tls = certificate()
  for (const [method, answer] of [['GET', 'read'], ['POST', 'write']] as const) {
    let own = ''
    const server = createSecureServer({ ...tls, allowHTTP1: true }, (request, response) => {
      request.resume()
      if (request.httpVersion === '2.0' && request.method === method) return request.stream.close(2)
      protect(own, [], 'https')(request, response)
    })
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    t.teardown(() => server.close())
    own = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const report = await findings(`https://${own}`)
    t.strictSame(ids(report, 'inconclusive'), [answer === 'read' ? 'authority-http2' : 'foreign-http2'])
    t.equal(report.exitCode, 0, 'HTTP/1.1 has been asked')
  }
})

t.test('nobody waits for the end of a long answer by HTTP/2 either', async t => {
  const server = createSecureServer(certificate(), (_request, response) => {
    const write = (): void => { if (response.writable && response.write(' '.repeat(64 * 1024))) setImmediate(write) }
    response.on('drain', write)
    write()
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => server.close())
  const target = parseTarget(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, undefined, [])
  const outcome = await openWire(target, 30_000).sendHttp2(createRequests(target).read())
  t.match(outcome, { kind: 'answer', status: 200 })
  t.ok('body' in outcome && outcome.body.length < 1 << 20, 'no more than it looks at')
})
