import t from 'tap'
import type { Test } from 'tap'
import { createAuthorizer } from '../../../lib/cli/authorize/app.js'
import { authorizeOptions } from '../../../lib/cli/authorize/options.js'
import { logOptions } from '../../../lib/cli/logger.js'
import { listen, request } from '../../fixtures/server.js'
import type { LogLine, RawResponse } from '../../fixtures/server.js'

const SETTINGS = { 'allowed-hosts': ['app.example'], 'cors-allowed-origins': ['https://ok.example'] }
const LISTED = ['Origin', 'https://ok.example'] as const
const JSON_BODY = ['Content-Type', 'application/json'] as const
const EVIL = ['Origin', 'https://evil.com'] as const

type Headers = ReadonlyArray<readonly [string, string]>

interface Asked { readonly method?: string, readonly host?: string, readonly url?: string, readonly headers?: Headers }

interface Authorizer { readonly lines: LogLine[], ask (asked: Asked): Promise<RawResponse> }

/** The log of the command, and what it has been told so far. */
function logTo (): { log: ReturnType<typeof logOptions>, lines: LogLine[] } {
  const lines: LogLine[] = []
  return { log: logOptions('info', line => { lines.push(JSON.parse(line)) }), lines }
}

async function start (t: Test, values: Parameters<typeof authorizeOptions>[0] = {}): Promise<Authorizer> {
  const { log, lines } = logTo()
  const { options } = authorizeOptions({ dialect: 'nginx', ...SETTINGS, ...values }, log)
  const app = createAuthorizer(options)
  t.teardown(() => app.close())
  const port = await listen(app)
  return {
    lines,
    ask: ({ method = 'GET', host = 'app.example', url = '/', headers = [] }) => request(port, 'GET', '/anything', [
      ['Host', 'authorize'], ['X-Original-Method', method], ['X-Original-Host', host], ['X-Original-URI', url], ['X-Forwarded-For', '203.0.113.9'], ...headers
    ])
  }
}

t.test('what passes gets 200 and the headers of its answer', async t => {
  const { ask } = await start(t, { 'frame-ancestors': ['https://notebook.example'] })
  const own = await ask({})
  t.equal(own.status, 200)
  t.equal(own.body, '')
  t.match(own.headers, {
    'x-content-type-options': 'nosniff', 'x-frame-options': 'SAMEORIGIN', vary: /Origin/, 'content-security-policy': "frame-ancestors 'self' https://notebook.example"
  })
  t.notOk('access-control-allow-origin' in own.headers)
  const listed = await ask({ method: 'POST', headers: [LISTED, JSON_BODY] })
  t.match(listed, { status: 200, headers: { 'access-control-allow-origin': 'https://ok.example', 'access-control-allow-credentials': 'true' } })
  for (const method of ['HEAD', 'PUT', 'DELETE', 'PROPFIND', 'QUERY', 'NEW']) t.equal((await ask({ method, headers: [JSON_BODY] })).status, 200, method)
  for (const url of ['/%zz', '/%E9', '//', '/a b', '*', 'http://app.example/', `/${'x'.repeat(60_000)}`]) t.equal((await ask({ url })).status, 200, url.slice(0, 20))
})

t.test('every refusal is 403, in the plugin\'s words', async t => {
  const { ask, lines } = await start(t)
  const cases: Array<[Asked, code: string]> = [
    [{ host: 'evil.com' }, 'HOST_NOT_ALLOWED'],
    [{ host: 'a b' }, 'HOST_MALFORMED'],
    [{ url: 'http://evil.com/' }, 'HOST_MALFORMED'],
    [{ method: 'POST', headers: [EVIL, JSON_BODY] }, 'CROSS_ORIGIN'],
    [{ method: 'NEW', headers: [EVIL] }, 'CROSS_ORIGIN'],
    [{ method: 'get', headers: [EVIL] }, 'CROSS_ORIGIN'],
    [{ headers: [EVIL, ['Sec-WebSocket-Key', 'x']] }, 'CROSS_ORIGIN'],
    [{ method: 'OPTIONS', headers: [EVIL, ['Access-Control-Request-Method', 'POST']] }, 'CROSS_ORIGIN']
  ]
  for (const [asked, code] of cases) {
    lines.length = 0
    const { status, body, headers } = await ask(asked)
    t.equal(status, 403)
    t.match(JSON.parse(body), { statusCode: 403, error: 'Forbidden', code: `FST_MLFLOW_SECURITY_${code}` })
    t.match(headers, { 'x-content-type-options': 'nosniff', 'x-frame-options': 'SAMEORIGIN' })
    t.notOk('access-control-allow-origin' in headers)
    t.match(lines, [{ level: 40, method: asked.method ?? 'GET', url: asked.url ?? '/', remoteAddress: '203.0.113.9' }], 'one line, about the request that is asked about')
  }
})

t.test('a preflight is answered', async t => {
  const { ask } = await start(t)
  const answer = await ask({ method: 'OPTIONS', headers: [LISTED, ['Access-Control-Request-Method', 'POST'], ['Access-Control-Request-Headers', 'x-a']] })
  t.match(answer, { status: 204, headers: { 'access-control-allow-origin': 'https://ok.example', 'access-control-allow-headers': 'x-a' } })
})

t.test('what cannot be read is refused and logged', async t => {
  const { ask, lines } = await start(t)
  const { status, body, headers } = await ask({ url: '' })
  t.equal(status, 403)
  t.match(JSON.parse(body), { code: 'FST_MLFLOW_SECURITY_UNREADABLE_QUESTION', message: /^There is no X-Original-URI/ })
  t.match(headers, { 'x-frame-options': 'SAMEORIGIN' })
  t.match(lines.at(-1), { level: 40, code: 'FST_MLFLOW_SECURITY_UNREADABLE_QUESTION', remoteAddress: '127.0.0.1' })
})

t.test('health answers to every Host, by the exact path', async t => {
  const plain = await start(t)
  const below = await start(t, { 'static-prefix': '/mlflow' })
  const named = await start(t, { 'static-prefix': '/mlflow', 'health-routes': ['/mlflow/live, /ready'] })
  for (const [{ ask }, url, method, status] of [
    [plain, '/health', 'GET', 200], [plain, '/health', 'HEAD', 200], [plain, '/version?x', 'GET', 200], [plain, '/health', 'PUT', 403],
    [plain, '/health', 'OPTIONS', 403], [plain, '/health/', 'GET', 403], [plain, '/%68ealth', 'GET', 403], [plain, '//health', 'GET', 403],
    [plain, '/x/..%2fhealth', 'GET', 403], [plain, '/x/../health', 'GET', 403], [plain, '/@health', 'GET', 403], [plain, '/health#x', 'GET', 403],
    [plain, '/mlflow/health', 'GET', 403],
    [below, '/mlflow/health', 'GET', 200], [below, '/mlflow/version', 'GET', 200], [below, '/health', 'GET', 403],
    [named, '/mlflow/live', 'GET', 200], [named, '/mlflow/ready', 'GET', 200], [named, '/ready', 'GET', 403], [named, '/mlflow/health', 'GET', 403]
  ] as const) t.equal((await ask({ url, method, host: 'evil.com' })).status, status, `${method} ${url}`)
  t.equal((await plain.ask({ url: '/health', host: 'evil.com', headers: [EVIL, ['Upgrade', 'websocket']] })).status, 403, 'not to a foreign socket')
})

t.test('notebooks embed the trace renderer, and nothing else', async t => {
  const { ask } = await start(t, { 'static-prefix': '/mlflow', 'frame-ancestors': ['https://notebook.example'] })
  const at = '/mlflow/static-files/lib/notebook-trace-renderer/'
  for (const url of [`${at}index.html`, `${at}index.html?x=%2f`]) {
    const { headers } = await ask({ url })
    t.notOk('x-frame-options' in headers || 'content-security-policy' in headers, url)
  }
  for (const url of [`${at}..%2F..%2Findex.html`, `${at}../../index.html`, '/static-files/lib/notebook-trace-renderer/index.html', at.slice(0, -1)]) {
    t.match((await ask({ url })).headers, { 'x-frame-options': 'SAMEORIGIN' }, url)
  }
  t.equal((await ask({ url: `${at}index.html`, host: 'evil.com' })).status, 403)
})

t.test('X-Forwarded-Proto is not read: TLS may end before the engine', async t => {
  const { ask } = await start(t)
  for (const proto of ['http', 'https']) {
    t.equal((await ask({ method: 'POST', headers: [['Origin', 'https://app.example'], ['X-Forwarded-Proto', proto]] })).status, 200, proto)
    t.equal((await ask({ method: 'POST', headers: [['Origin', 'http://app.example'], ['X-Forwarded-Proto', proto]] })).status, 200, proto)
  }
})

t.test('Caddy has two hosts, and both must be allowed', async t => {
  const { log } = logTo()
  const app = createAuthorizer(authorizeOptions({ dialect: 'caddy', ...SETTINGS }, log).options)
  t.teardown(() => app.close())
  const port = await listen(app)
  for (const [host, forwarded, status] of [
    ['app.example', 'app.example', 200], ['evil.com', 'app.example', 403], ['app.example', 'evil.com', 403], ['app.example', 'app.example, evil.com', 403]
  ] as const) {
    const headers = [['Host', host], ['X-Forwarded-Method', 'GET'], ['X-Forwarded-Host', forwarded], ['X-Forwarded-Uri', '/']] as const
    t.equal((await request(port, 'GET', '/', headers)).status, status, `${host}, ${forwarded}`)
  }
})

t.test('report only, and disabled', async t => {
  const reporting = await start(t, { 'report-only': true })
  t.equal((await reporting.ask({ host: 'evil.com' })).status, 200)
  t.match(reporting.lines.at(-1), { reportOnly: true, msg: /^Report only/ })
  const disabled = await start(t, { 'disable-security-middleware': true })
  const { status, headers } = await disabled.ask({ host: 'evil.com' })
  t.equal(status, 200)
  t.notOk('x-frame-options' in headers)
})

t.test('a question that passes leaves no line: engines have their own log', async t => {
  const { ask, lines } = await start(t)
  lines.length = 0
  await ask({})
  t.strictSame(lines, [])
})

t.test('an error of its own stays one: no engine takes it for a pass', async t => {
  const { log, lines } = logTo()
  const app = createAuthorizer(authorizeOptions({ dialect: 'envoy' }, log).options)
  t.teardown(() => app.close())
  app.addHook('onRequest', async () => { throw new Error('unforeseen') })
  const port = await listen(app)
  t.equal((await request(port, 'GET', '/', [['Host', 'localhost']])).status, 500)
  t.match(lines.at(-1), { level: 50 })
})
