import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { MAX_REQUESTS } from '../../../lib/cli/audit/wire.js'
import mlflowSecurity from '../../../lib/index.js'
import { raw } from '../../fixtures/audit-servers.js'
import { protect, startAudited } from '../../fixtures/audit-targets.js'
import type { Gap } from '../../fixtures/audit-targets.js'
import { auditFor, findings, heldAttacks, ids, run } from '../../fixtures/audit.js'
import { createApp, listen } from '../../fixtures/server.js'
import { gateway, upstream } from '../../fixtures/upstream.js'

const LISTED = ['--cors-allowed-origins', 'https://app.company.com']
const HTTP = ['--cors-allowed-origins', 'http://app.company.com']
const WILDCARD = ['--cors-allowed-origins', 'https://*.company.com']

/** Where a name matters, it leads nowhere: the connection goes to the loopback address. */
const NAME = 'mlflow.company.com'

const gaps: Array<[gap: Gap, found: string[], flags?: string[], host?: string]> = [
  ['any-host', ['foreign-host']],
  ['suffix-host', ['foreign-host'], [], NAME],
  ['api-only-host', ['foreign-host']],
  ['private-octets', ['octets-host']],
  ['userinfo', ['malformed-host']],
  ['fragment', ['malformed-host'], [], NAME],
  ['doubled-host', ['doubled-host']],
  ['absolute-form', ['absolute-form']],
  ['forwarded-host', ['forwarded-host']],
  ['forwarded_host', ['forwarded-host']],
  ['health-prefix', ['health-exemption']],
  ['health-suffix', ['health-exemption']],
  ['health-decoded', ['health-exemption']],
  ['any-origin', ['foreign-origin', 'null-origin', 'look-alike-origin', 'foreign-socket']],
  ['api-origin', ['foreign-origin', 'null-origin', 'look-alike-origin']],
  ['null-origin', ['null-origin']],
  ['prefix-origin', ['look-alike-origin'], [], NAME],
  ['wildcard-origin', ['unlisted-origin'], WILDCARD],
  ['localhost-origin', ['unlisted-origin'], LISTED],
  ['any-preflight', ['foreign-preflight', 'null-preflight', 'look-alike-preflight']],
  ['any-reader', ['foreign-read', 'null-read', 'look-alike-read']],
  ['star', ['foreign-read', 'null-read', 'look-alike-read']],
  ['reflects-with-credentials', ['foreign-read', 'null-read', 'look-alike-read', 'credentials']],
  ['star-with-credentials', ['foreign-read', 'null-read', 'look-alike-read', 'credentials']],
  ['any-socket', ['foreign-socket']],
  ['frames', ['frames', 'not-found-headers', 'refusal-headers']],
  ['frames-everyone', ['frames', 'not-found-headers', 'refusal-headers']],
  ['frames-allowall', ['frames', 'not-found-headers', 'refusal-headers']],
  ['sniff', ['nosniff', 'not-found-headers', 'refusal-headers']],
  ['bare-404', ['not-found-headers']],
  ['bare-refusal', ['refusal-headers']],
  ['refuses-own-page', ['own-page']],
  ['refuses-sdk', ['sdk']],
  ['bare-json', []],
  ['no-fetch-metadata', []],
  ['no-vary', []],
  ['no-vary', [], LISTED],
  ['prefix-origin', ['look-alike-origin'], HTTP, NAME]
]

for (const [gap, expected, flags = [], host = '127.0.0.1'] of gaps) {
  t.test(`a server with the gap ${gap} has that one and no other`, async t => {
    const { url, port } = await startAudited(t, [gap], { host, listed: flags === LISTED ? ['https://app.company.com'] : [] })
    const report = await findings(url, ...flags, '--connect', `127.0.0.1:${port}`)
    t.strictSame(ids(report, 'gap'), expected)
    t.equal(report.exitCode, expected.length === 0 ? 0 : 1)
  })
}

t.test('a server without a gap has none, whatever the address, and what is asked harms nobody', async t => {
  for (const host of ['127.0.0.1', 'localhost', NAME, '192.168.1.20', '[::1]']) {
    const { url, port, asked } = await startAudited(t, [], { host, listed: ['https://app.company.com'] })
    const report = await findings(url, ...LISTED, '--connect', `127.0.0.1:${port}`)
    t.strictSame(report.findings.filter(({ verdict }) => verdict !== 'held' && verdict !== 'not applicable'), [], host)
    t.strictSame(ids(report, 'not applicable'), ['authority-http2', 'foreign-http2'])
    t.equal(report.exitCode, 0)
    t.ok(report.requests <= MAX_REQUESTS)
    t.ok(asked.length <= report.requests)

    const seen = new Set<string>()
    for (const { method = '', url = '', headers } of asked) {
      t.match(headers['user-agent'], /^fastify-mlflow-security-audit$/)
      t.match(method, /^(GET|OPTIONS|POST)$/)
      if (method === 'POST') t.match(url, /\/mlflow\/(experiments|runs)\/search$/)
      if (method !== 'GET') continue
      const [, query = ''] = /[?&]audit=([0-9a-f]{16})$/.exec(url) ?? []
      t.not(query, '', url)
      t.notOk(seen.has(query), 'a query of its own')
      seen.add(query)
    }
    t.equal(new Set(asked.map(({ socket }) => socket)).size, asked.length, 'each on a connection of its own')
  }
})

t.test('at most 120 requests, with every list there can be', async t => {
  const { url } = await startAudited(t)
  const report = await findings(url, '--cors-allowed-origins', 'https://*.company.com,https://b-*.company.com,https://c.com,http://d.com,localhost')
  t.ok(report.requests <= 100, String(report.requests))
})

t.test('notes: what is no gap, and worth a word', async t => {
  const cases: Array<[gaps: Gap[], id: string, evidence: RegExp]> = [
    [['no-fetch-metadata'], 'fetch-metadata', /^served, 200$/],
    [['bare-json'], 'json-headers', /^200, neither X-Frame-Options nor frame-ancestors, no X-Content-Type-Options$/],
    [['no-vary', 'star'], 'vary', /\* for everyone: nothing differs/],
    [['no-vary', 'any-reader'], 'vary', /^Access-Control-Allow-Origin: http:\/\/localhost:3000, no Access-Control-Allow-Credentials, without Vary: Origin$/]
  ]
  for (const [gaps, id, evidence] of cases) {
    const { url } = await startAudited(t, gaps)
    const report = await findings(url)
    t.match(report.findings.find(finding => finding.id === id), { verdict: 'note', evidence })
    t.strictSame(ids(report, 'note'), [id])
  }
})

t.test('the plugin and the gateway have no gap', async t => {
  const { app } = createApp(t)
  app.register(mlflowSecurity, { allowedHosts: NAME, corsAllowedOrigins: 'https://app.company.com' })
  app.get('/', (_request, reply) => { reply.type('text/html').send('<title>MLflow</title>') })
  for (const url of ['/api/2.0/mlflow/runs/search', '/ajax-api/2.0/mlflow/experiments/search']) {
    app.route({ method: ['GET', 'POST'], url, handler: async () => ({ experiments: [] }) })
  }
  const port = await listen(app)
  const plugin = await findings(`http://${NAME}:${port}`, '--allowed-hosts', NAME, ...LISTED, '--connect', '127.0.0.1')
  t.strictSame(plugin.findings.filter(({ verdict }) => verdict !== 'held' && verdict !== 'not applicable'), [])
  t.equal(plugin.exitCode, 0)

  const mlflow = await upstream(t, (request, response) => { protect(request.headers.host ?? '')(request, response) })
  for (const settings of [{}, { allowedHosts: `@default,${NAME}`, corsAllowedOrigins: 'https://*.company.com,null', frameAncestors: 'https://nb.company.com' }]) {
    const running = await gateway(t, { upstream: mlflow, ...settings })
    const flags = 'allowedHosts' in settings ? [...WILDCARD, '--cors-allowed-origins', 'null', '--frame-ancestors', 'https://nb.company.com'] : []
    for (const host of ['127.0.0.1', '192.168.1.20', ...('allowedHosts' in settings ? [NAME] : [])]) {
      const report = await findings(`http://${host}:${running.port}`, ...flags, '--connect', '127.0.0.1')
      t.strictSame(report.findings.filter(({ verdict }) => verdict !== 'held' && verdict !== 'not applicable'), [], host)
    }
  }
})

t.test('a rate limit or a ban on the way is inconclusive, and what got through got through', async t => {
  const { url } = await startAudited(t, ['private-octets'], {
    wrap: (n, inner) => n > 15 ? (_request, response) => { response.writeHead(429).end('slow down') } : inner
  })
  const limited = await findings(url)
  t.strictSame(ids(limited, 'gap'), ['octets-host'])
  t.strictSame(heldAttacks(limited), [])
  t.ok(ids(limited, 'inconclusive').includes('foreign-host'))

  const banned = await startAudited(t, [], { wrap: (n, inner) => n > 15 ? ({ socket }) => { socket.destroy() } : inner })
  const ban = await findings(banned.url)
  t.strictSame([heldAttacks(ban), ids(ban, 'gap'), ban.exitCode], [[], [], 2])
  t.match(ban.findings.find(({ id }) => id === 'foreign-host')?.evidence, /403; but plain requests get other answers at the end than at the beginning\. Was it a rate limit, a ban or a restart\? After a restart, try again$/)

  const late = await startAudited(t, [], { wrap: (n, inner) => n > 3 ? (_request, response) => { response.writeHead(403).end() } : inner })
  const refused = await findings(late.url)
  t.strictSame(ids(refused, 'gap'), [], 'the own page is not refused for what it is')
  t.equal(refused.exitCode, 2)
})

t.test('nothing there is one line and exit code 2', async t => {
  const closed = await raw(t, () => {})
  const server = createTcpServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port: dead } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  await t.rejects(run(`http://127.0.0.1:${dead}`), {
    code: 'FST_MLFLOW_SECURITY_UNREACHABLE',
    message: `audit: http://127.0.0.1:${dead} cannot be audited at 127.0.0.1:${dead}: connect ECONNREFUSED 127.0.0.1:${dead}. Is the server running there?`
  })
  await t.rejects(run('http://mlflow.company.com', '--connect', `[::1]:${dead}`), { message: new RegExp(`at \\[::1\\]:${dead}: `) })
  const plain = await startAudited(t)
  await t.rejects(run(plain.url.replace('http:', 'https:')), { message: /^audit: [^\n]*: (ERR_SSL_|EPROTO)[^\n]*\. Is the server running there, and does it speak https\?$/ })
  // RFC 6761 §6.4: no server knows a name below .invalid.
  await t.rejects(run('http://mlflow.invalid:5000'), {
    message: /: getaddrinfo \w+ mlflow\.invalid\. The name mlflow\.invalid does not resolve on this machine\. .*: --connect ADDRESS\.$/
  })
  await t.rejects(run('http://mlflow.company.com', '--connect', 'mlflow.invalid'), { message: /The name mlflow\.invalid does not resolve/ })
  await t.rejects(auditFor(closed, 500), { message: /^audit: .*: no answer in 0\.5 s\. Is the server running there\?$/ })
})
