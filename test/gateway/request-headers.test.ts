import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { toUpstream } from '../../lib/gateway/request-headers.js'
import { request } from '../fixtures/server.js'
import { gateway, prepared, recorder, upstream, upstreamAt } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('to the upstream: its own Host, no Origin, no Sec-Fetch-*, X-Forwarded-* of our own, the rest as it came', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const { port } = await gateway(t, { upstream: target })
  await request(port, 'POST', '/api/2.0/mlflow/runs/create?a=%20b+c&d=1%2F2', [
    HOST, ['Origin', 'http://localhost:3000'], ['Sec-Fetch-Site', 'same-site'], ['Sec-Fetch-Mode', 'cors'],
    ['Forwarded', 'for=6.6.6.6'], ['X-Forwarded-For', '6.6.6.6'], ['X-Forwarded-Proto', 'https'], ['X-Forwarded-Port', '1'],
    ['Authorization', 'Basic YTpi'], ['Cookie', 'a=b; c=d'], ['X-MLflow-Workspace', 'team'], ['Keep-Alive', 'timeout=5'],
    ['Proxy-Connection', 'keep-alive'], ['TE', 'trailers'], ['X-Secret', 'for this hop'], ['Connection', 'close, X-Secret'],
    ['If-None-Match', '"e"'], ['Accept-Encoding', 'br']
  ])
  t.match(seen[0]?.headers.via, /^1\.1 mlflow-gateway-[0-9a-f]{8}$/)
  delete seen[0]?.headers.via
  t.same(seen, [{
    method: 'POST',
    url: '/api/2.0/mlflow/runs/create?a=%20b+c&d=1%2F2',
    headers: {
      host: new URL(target).host,
      connection: 'keep-alive',
      authorization: 'Basic YTpi',
      cookie: 'a=b; c=d',
      'x-mlflow-workspace': 'team',
      'if-none-match': '"e"',
      'accept-encoding': 'br',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': 'localhost',
      'x-forwarded-proto': 'http',
      'content-length': '0'
    },
    body: ''
  }])
})

/** The headers as Node shows them. */
const shown = (rawHeaders: readonly string[]) => Object.fromEntries(
  rawHeaders.flatMap((name, i) => i % 2 === 0 ? [[name.toLowerCase(), rawHeaders[i + 1]]] : [])
)

t.test('headers that are meant for one hop, or decided on, go no further', async t => {
  const rules = { upstream: upstreamAt, via: '1.1 gw', checks: true }
  interface Asking {
    isTrusted: boolean,
    connection: string,
    hasBody: boolean,
    ips: string[]
    headers: IncomingHttpHeaders,
    checks: boolean
  }
  const ask = (rawHeaders: string[], { isTrusted = false, connection, hasBody = true, ips, headers, ...more }: Partial<Asking> = {}) =>
    toUpstream({ raw: { headers: { ...shown(rawHeaders), connection, ...headers }, rawHeaders }, ip: '10.0.0.1', ips, host: 'a', protocol: 'https' }, { ...rules, ...more }, isTrusted, hasBody)
  const forwarded = ['X-Forwarded-For', '10.0.0.1', 'X-Forwarded-Host', 'a', 'X-Forwarded-Proto', 'https', 'Via', '1.1 gw']
  const hop = [
    'Connection', 'Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Transfer-Encoding', 'Upgrade', 'HTTP2-Settings', 'Expect', 'Host',
    'X-Forwarded-For', 'X-Forwarded-Host', 'x-forwarded-proto', ':authority', 'keep_alive'
  ]
  const decided = ['Origin', 'Sec-Fetch-Site', 'sec-fetch-user']
  const untrusted = ['Forwarded', 'X-Forwarded-Prefix', 'X-Forwarded-User', 'x-forwarded-access-token']
  const twins = ['X_Forwarded_For', 'X_Forwarded_User', 'Sec_Fetch_Site', 'Content_Length', 'X-Forwarded_For', 'Origin_'.replace('n_', 'n')]
  const passing = ['accept', 'y', 'X-Origin', 'z', 'x_own', 'w', 'Content-Length', '5', 'Via', '1.0 other']
  const flat = (names: string[]) => names.flatMap(name => [name, 'x'])
  t.same(ask([...flat([...hop, ...decided, ...untrusted, ...twins]), ...passing]), [...passing, ...forwarded])
  t.same(ask(flat([...decided, ...untrusted, 'X_Forwarded_User']), { isTrusted: true }), [...flat(untrusted), ...forwarded], 'a trusted proxy may say more')
  t.same(ask(flat([...decided, 'Host']), { checks: false }), [...flat(decided), 'Host', 'x', ...forwarded], 'nothing was decided')
  t.same(ask([], { checks: false }), forwarded, 'HTTP/1.0 needs no Host')
  t.same(ask(['A', '1', 'X-Hop', '2', 'CONTENT-LENGTH', '3'], { connection: 'close, x-hop, content-length' }), ['A', '1', 'CONTENT-LENGTH', '3', ...forwarded])
  t.same(ask(['Content-Length', '3'], { hasBody: false }), forwarded)
  t.same(ask([], { ips: ['10.0.0.1', '10.0.0.2', '6.6.6.6'] })[1], '6.6.6.6, 10.0.0.2, 10.0.0.1')
  t.same(ask(['Authorization', 'a', 'X-User', 'b', 'X-Two', '1', 'x-two', '2', 'X-Forwarded-User', 'eve'], {
    headers: { authorization: undefined, 'x-user': 'ada', 'x-two': '1, 2', 'x-forwarded-user': 'ada', 'x-added': 'c', origin: 'd', connection: undefined }
  }), ['X-User', 'ada', 'X-Two', '1', 'x-two', '2', 'X-Forwarded-User', 'ada', 'x-added', 'c', ...forwarded], 'what hooks have made of the headers')
  const changes: Array<[sent: string[], made: IncomingHttpHeaders, arrives: string[]]> = [
    [['X-User', 'root', 'X-User', 'root'], { 'x-user': 'ada' }, ['X-User', 'ada']],
    [['X-User', 'ada', 'x-user', 'root'], { 'x-user': 'ada' }, ['x-user', 'ada']],
    [['X-User', 'root', 'x-user', 'ada'], { 'x-user': 'ada' }, ['X-User', 'ada']],
    [['X-User', 'root'], { 'x-user': ['ada', 'bob'] }, ['X-User', 'ada', 'X-User', 'bob']],
    [['X-User', 'root', 'X-User', 'root'], { 'x-user': undefined }, []],
    [['X-User', 'root', 'Connection', 'x-user'], { 'x-user': 'ada', connection: 'x-user' }, ['X-User', 'ada']],
    [['X_User', 'root'], { 'x-user': 'ada', x_user: 'root' }, ['x-user', 'ada']],
    [['X_User', 'root', 'X-User', 'eve'], { 'x-user': undefined, x_user: 'root' }, []],
    [['X_User', 'root'], { x_user: 'root' }, ['X_User', 'root']],
    [['X_User', 'root'], { x_user: 'ada', 'x-user': 'ada' }, ['X_User', 'ada', 'x-user', 'ada']],
    [['X-Forwarded-User', 'ada', 'X-Forwarded-User', 'root'], { 'x-forwarded-user': 'ada' }, ['X-Forwarded-User', 'ada']],
    [['Authorization', 'a', 'Authorization', 'b'], { authorization: 'a' }, ['Authorization', 'a', 'Authorization', 'b']],
    [['Authorization', 'a', 'Authorization', 'b'], { authorization: 'c' }, ['Authorization', 'c']],
    [['Set-Cookie', 'a', 'Set-Cookie', 'b'], { 'set-cookie': ['a', 'b'] }, ['Set-Cookie', 'a', 'Set-Cookie', 'b']],
    [['Cookie', 'a=1', 'Cookie', 'b=2'], { cookie: 'a=1; b=2' }, ['Cookie', 'a=1', 'Cookie', 'b=2']],
    [['Cookie', 'a=1', 'Cookie', 'b=2'], { cookie: 'a=1' }, ['Cookie', 'a=1']]
  ]
  for (const [sent, made, arrives] of changes) t.same(ask(sent, { headers: made }), [...arrives, ...forwarded], `${sent.join(' ')}, made ${JSON.stringify(made)}`)
})

t.test('a header with the one name that Node keeps from hooks does not pass, and is no 502', async t => {
  const seen: string[] = []
  const target = await upstream(t, ({ rawHeaders }, response) => { seen.push(rawHeaders.join()); response.end('ok') })
  const { port } = await gateway(t, { upstream: target })
  t.equal((await request(port, 'GET', '/', [HOST, ['__proto__', 'x'], ['__Proto__', 'y'], ['constructor', 'z']])).status, 200)
  t.match(seen.join(), /constructor,z/)
  t.notMatch(seen.join(), /proto__/i)
})

t.test('a thousand lines of one header are read a few times, not a thousand times each', t => {
  for (const repeats of [999, 2]) {
    const lines = Array.from({ length: 999 }, (_, i) => [`x-${Math.floor(i / repeats)}`, `v${i}`]).flat()
    const headers: Record<string, string> = {}
    for (let i = 0; i < lines.length; i += 2) {
      const { [i]: name = '', [i + 1]: value = '' } = lines
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value
    }
    let reads = 0
    const rawHeaders = new Proxy(lines, { get (target, key) { reads++; return Reflect.get(target, key) } })
    const passed = toUpstream({ raw: { headers, rawHeaders }, ip: '::1', host: 'a', protocol: 'http' }, { upstream: upstreamAt, via: 'v', checks: true }, false, false)
    t.same(passed.slice(0, -8), lines)
    t.ok(reads < 10 * lines.length, `${reads} reads`) // it took a tenth of a second
  }
  t.end()
})

t.test('HTTP/2: the Host is :authority, and cookies that were split are one', async t => {
  const rules = { upstream: upstreamAt, via: '1.1 gw', checks: false }
  const raw = { headers: { ':path': '/', ':authority': 'mlflow.company.com', cookie: 'a=1; b=2', accept: '*/*' }, rawHeaders: [':path', '/', 'cookie', 'a=1', 'accept', '*/*', 'cookie', 'b=2'] }
  t.same(toUpstream({ raw, ip: '::1', host: 'h', protocol: 'https' }, rules, false, false).slice(0, 6), [
    'cookie', 'a=1; b=2', 'accept', '*/*', 'Host', 'mlflow.company.com'
  ])
  const named = { headers: { ':path': '/', 'x-a': 'cookie', cookie: 'a=1; b=2' }, rawHeaders: [':path', '/', 'x-a', 'cookie', 'cookie', 'a=1', 'cookie', 'b=2'] }
  t.same(toUpstream({ raw: named, ip: '::1', host: 'h', protocol: 'https' }, rules, false, false).slice(0, 4), ['x-a', 'cookie', 'cookie', 'a=1; b=2'], 'a value is no name')
})

t.test('the Referer of the own page is what the upstream is told of it', async t => {
  const upstream = { ...upstreamAt, path: '/base' }
  const referer = (value: string, host: string, protocol: string, checks = true) =>
    toUpstream({ raw: { headers: { referer: value }, rawHeaders: ['Referer', value] }, ip: '::1', host, protocol }, { upstream, via: 'v', checks }, false, false)[1]
  for (const [value, host, protocol, expected] of [
    ['https://mlflow.company.com/signup?a=http://b', 'mlflow.company.com', 'https', 'https://up:5000/base/signup?a=http://b'],
    ['https://MLFLOW.company.com', 'mlflow.company.com:443', 'https', 'https://up:5000/base'],
    ['http://localhost:8080/', 'localhost:8080', 'http', 'http://up:5000/base/'],
    ['http://localhost:8080/', 'localhost:8080', 'https', 'https://up:5000/base/'],
    ['https://evil.com/mlflow.company.com/', 'mlflow.company.com', 'https', 'https://evil.com/mlflow.company.com/'],
    ['https://mlflow.company.com:8443/', 'mlflow.company.com', 'https', 'https://mlflow.company.com:8443/'],
    ['about:blank', 'mlflow.company.com', 'https', 'about:blank'], ['', 'mlflow.company.com', 'https', '']
  ] as const) t.equal(referer(value, host, protocol), expected, value)
  t.equal(referer('https://a/x', 'a', 'https', false), 'https://a/base/x', 'with the Host that is sent')
})

t.test('a cookie that a hook has changed reaches the upstream as it is now', async t => {
  const { seen, listener } = recorder()
  const { port } = await prepared(t, { upstream: await upstream(t, listener) }, app => {
    app.addHook('onRequest', async ({ headers }) => { headers.cookie = 'own=1' })
  })
  await request(port, 'GET', '/', [HOST, ['Cookie', 'session=secret; own=1']])
  t.equal(seen[0]?.headers.cookie, 'own=1')
})
