import { readFileSync } from 'node:fs'
import t from 'tap'
import { MAX_REQUESTS } from '../../lib/cli/audit/wire.js'
import mlflowSecurity from '../../lib/index.js'
import { findings, ids, run } from '../fixtures/audit.js'
import { protect, startAudited } from '../fixtures/audit-targets.js'
import type { Gap } from '../fixtures/audit-targets.js'
import { createApp, listen } from '../fixtures/server.js'
import { gateway, upstream } from '../fixtures/upstream.js'

/** Where a name matters, it leads nowhere: the connection goes to the loopback address. */
const NAME = 'mlflow.company.com'
const LISTED = ['--cors-allowed-origins', 'https://app.company.com']
const HTTP = ['--cors-allowed-origins', 'http://app.company.com']
const WILDCARD = ['--cors-allowed-origins', 'https://*.company.com']

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

t.test('what is meant to be allowed is no gap', async t => {
  const open = await startAudited(t, ['any-host', 'star', 'any-origin', 'frames', 'any-preflight'])
  const meant = ['--allowed-hosts', '*', '--cors-allowed-origins', '*', '--x-frame-options', 'NONE']
  const { exitCode, findings: all } = await findings(open.url, ...meant)
  t.strictSame(all.filter(({ verdict }) => verdict === 'gap'), [])
  t.equal(exitCode, 0)
  t.match(all.find(({ id }) => id === 'foreign-host'), { verdict: 'not applicable', evidence: 'every Host is meant to pass: allowedHosts has "*"' })
  t.match(all.find(({ id }) => id === 'foreign-origin'), { verdict: 'not applicable', evidence: /corsAllowedOrigins has "\*"/ })
  t.match(all.find(({ id }) => id === 'frames'), { verdict: 'not applicable', evidence: /xFrameOptions is NONE/ })

  const withNull = await startAudited(t, ['null-origin'])
  const report = await findings(withNull.url, '--cors-allowed-origins', 'null,@default')
  t.strictSame(ids(report, 'gap'), [])
  t.match(report.findings.find(({ id }) => id === 'null-origin'), { verdict: 'not applicable', evidence: 'corsAllowedOrigins allows it' })

  const starred = await startAudited(t, ['star-with-credentials', 'any-origin'])
  t.strictSame(ids(await findings(starred.url, '--cors-allowed-origins', '*'), 'gap'), ['credentials'])
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

t.test('who may frame the page is compared with what is meant', async t => {
  const cases: Array<[headers: Record<string, string | string[]>, flags: string[], verdict: string]> = [
    [{ 'x-frame-options': 'DENY' }, [], 'held'],
    [{ 'x-frame-options': 'sameorigin' }, [], 'held'],
    [{ 'x-frame-options': 'SAMEORIGIN, SAMEORIGIN' }, [], 'held'],
    [{ 'x-frame-options': 'SAMEORIGIN, DENY' }, [], 'held'],
    [{ 'x-frame-options': 'SAMEORIGIN, ALLOWALL' }, [], 'gap'],
    [{ 'x-frame-options': 'ALLOW-FROM https://a.com' }, [], 'gap'],
    [{ 'x-frame-options': 'SAMEORIGIN' }, ['--x-frame-options', 'DENY'], 'gap'],
    [{ 'x-frame-options': 'DENY' }, ['--x-frame-options', 'DENY'], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'none'" }, [], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'self' https://notebook.company.com" }, [], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'self' https://notebook.company.com" }, ['--frame-ancestors', 'https://notebook.company.com'], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'self' https://other.com" }, ['--frame-ancestors', 'https://notebook.company.com'], 'gap'],
    [{ 'content-security-policy': 'frame-ancestors https:' }, [], 'gap'],
    [{ 'content-security-policy': 'frame-ancestors https://*' }, [], 'gap'],
    [{ 'content-security-policy': "default-src 'self'" }, [], 'gap'],
    [{ 'content-security-policy': ['frame-ancestors *', "frame-ancestors 'self'"] }, [], 'held'],
    [{ 'content-security-policy': 'frame-ancestors *', 'x-frame-options': 'DENY' }, [], 'gap'],
    [{ 'content-security-policy-report-only': "frame-ancestors 'self'" }, [], 'gap']
  ]
  for (const [headers, flags, verdict] of cases) {
    const { url } = await startAudited(t, ['frames'], {
      wrap: (_n, inner) => (request, response) => {
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
        inner(request, response)
      }
    })
    const { findings: all } = await findings(url, ...flags)
    t.equal(all.find(({ id }) => id === 'frames')?.verdict, verdict, JSON.stringify([headers, flags]))
  }
  const { url } = await startAudited(t, ['sniff'], {
    wrap: (_n, inner) => (request, response) => {
      response.setHeader('x-content-type-options', 'sniff')
      inner(request, response)
    }
  })
  t.ok(ids(await findings(url), 'gap').includes('nosniff'), 'a value that browsers do not know')
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

t.test('the report in words: a line a case, and below a gap what it means and what closes it', async t => {
  const { url, port } = await startAudited(t, ['refuses-own-page', 'private-octets', 'any-origin', 'no-fetch-metadata'])
  const { code, out } = await run(url, '--disable-security-middleware')
  t.equal(code, 1)
  for (const line of out.split('\n')) t.ok(line.length <= 100, line)
  const expected = readFileSync(new URL('../fixtures/audit.txt', import.meta.url), 'utf8')
  t.equal(out.replaceAll(String(port), '50000'), expected)
  const framed = await startAudited(t, ['frames'])
  const withFrames = await run(framed.url, '--allowed-hosts', '127.0.0.1', '--frame-ancestors', 'https://nb.company.com')
  t.match(withFrames.out, /hosts 127\.0\.0\.1; origins http:\/\/127\.0\.0\.1:\d+, localhost:\*; frames\s+https:\/\/nb\.company\.com/)
  t.match(withFrames.out, /Fix: {2}--frame-ancestors https:\/\/nb\.company\.com/)
})
