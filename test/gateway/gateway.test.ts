import type { IncomingHttpHeaders } from 'node:http'
import t from 'tap'
import { createGateway } from '../../lib/gateway.js'
import { namedFields } from '../../lib/gateway/withheld-headers.js'
import { toUpstream } from '../../lib/gateway/request-headers.js'
import { toClient } from '../../lib/gateway/response-headers.js'
import { loadOptional } from '../../lib/gateway/optional-dependency.js'
import { resolveGatewayOptions } from '../../lib/gateway/options.js'
import { CREATE_RUN, listen, request, send, upgrade } from '../fixtures/server.js'
import { gateway, recorder, upstream } from '../fixtures/upstream.js'

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

t.test('behind a trusted proxy X-Forwarded-* go on as it wrote them', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, {
    upstream: await upstream(t, listener), allowedHosts: 'localhost,mlflow.company.com', fastify: { trustProxy: '127.0.0.1' }
  })
  await request(port, 'GET', '/', [
    HOST, ['X-Forwarded-For', '6.6.6.6, 203.0.113.5'], ['X-Forwarded-Host', 'mlflow.company.com'], ['X-Forwarded-Proto', 'https']
  ])
  t.match(seen[0]?.headers, {
    'x-forwarded-for': '203.0.113.5, 127.0.0.1', 'x-forwarded-host': 'mlflow.company.com', 'x-forwarded-proto': 'https'
  })
})

t.test('from the upstream: our security headers in place of its own, the rest as it came', async t => {
  const target = await upstream(t, (_request, response) => {
    response.writeHead(200, [
      ['Access-Control-Allow-Origin', '*'], ['Access-Control-Allow-Credentials', 'true'], ['X-Frame-Options', 'ALLOWALL'],
      ['X-Content-Type-Options', 'sniff'], ['Set-Cookie', 'a=1'], ['Set-Cookie', 'b=2'], ['ETag', '"x"'], ['Vary', 'Accept'],
      ['Content-Security-Policy', "default-src 'self'"], ['X-Name', 'caf\xe9'], ['X-Hop', 'here'], ['Connection', 'X-Hop'], ['Server', 'uvicorn']
    ].flat())
    response.end('{}')
  })
  const { port } = await gateway(t, { upstream: target, frameAncestors: 'https://nb.company.com' })
  const { headers } = await request(port, 'GET', '/', [HOST, ['Origin', 'http://localhost:3000']])
  t.match(headers, {
    'access-control-allow-origin': 'http://localhost:3000',
    'access-control-allow-credentials': 'true',
    'x-frame-options': 'SAMEORIGIN',
    'x-content-type-options': 'nosniff',
    'set-cookie': 'a=1, b=2',
    etag: '"x"',
    vary: 'Accept, Origin',
    'content-security-policy': "default-src 'self'; frame-ancestors 'self' https://nb.company.com",
    server: 'uvicorn',
    'x-name': 'caf\xe9'
  })
  t.notOk(headers['x-hop'])
  t.notOk(headers['content-type'], 'none where the upstream has none')
  const foreign = await request(port, 'GET', '/', [HOST, ['Origin', 'https://evil.com']])
  t.notOk(foreign.headers['access-control-allow-origin'])

  const off = await gateway(t, { upstream: target, disableSecurityMiddleware: true })
  const plain = await request(off.port, 'GET', '/', [['Host', 'evil.com']])
  t.match(plain.headers, { 'x-frame-options': 'ALLOWALL', 'x-content-type-options': 'sniff', vary: /^Accept$/ }, 'disabled: nothing is touched')
})

t.test('who may frame the pages is not for the upstream to say', async t => {
  let policy: string | string[] = ''
  const target = await upstream(t, (_request, response) => { response.setHeader('content-security-policy', policy).end('<p>') })
  const { port } = await gateway(t, { upstream: target })
  const embedding = await gateway(t, { upstream: target, frameAncestors: 'https://nb.company.com' })
  const ours = "frame-ancestors 'self' https://nb.company.com"
  for (const [given, plain, embedded] of [
    ['frame-ancestors *', undefined, ours],
    ["default-src 'self'; frame-ancestors *; img-src *", "default-src 'self'; img-src *", `default-src 'self'; img-src *; ${ours}`],
    ["default-src 'self'", "default-src 'self'", `default-src 'self'; ${ours}`],
    [["img-src *; frame-ancestors 'none'", 'frame-ancestors *'], 'img-src *', `img-src *; ${ours}`]
  ] as const) {
    policy = typeof given === 'string' ? given : [...given]
    t.match(await request(port, 'GET', '/', [HOST]), { status: 200, headers: { 'x-frame-options': 'SAMEORIGIN' } })
    t.equal((await request(port, 'GET', '/', [HOST])).headers['content-security-policy'], plain, `${policy}`)
    t.equal((await request(embedding.port, 'GET', '/', [HOST])).headers['content-security-policy'], embedded, `${policy}`)
  }
  policy = 'frame-ancestors *'
  const off = await gateway(t, { upstream: target, disableSecurityMiddleware: true })
  t.equal((await request(off.port, 'GET', '/', [HOST])).headers['content-security-policy'], policy, 'disabled: nothing is touched')
})

t.test('options of Node\'s server pass', async t => {
  const target = await upstream(t, (_request, response) => { response.end('ok') }, { maxHeaderSize: 65536 })
  const headers = [HOST, ['X-Long', 'a'.repeat(30_000)]] as const
  const { port } = await gateway(t, { upstream: target })
  t.equal((await request(port, 'GET', '/', headers)).status, 431)
  const roomy = await gateway(t, { upstream: target, fastify: { http: { maxHeaderSize: 65536 } } })
  t.equal((await request(roomy.port, 'GET', '/', headers)).status, 200)
})

t.test('Vary names Origin once', async t => {
  let vary: string[] = []
  const target = await upstream(t, (_request, response) => { response.setHeader('vary', vary).end() })
  const { port } = await gateway(t, { upstream: target })
  for (const [given, expected] of [[['accept', 'cookie'], 'accept, cookie, Origin'], [['Accept, ORIGIN'], 'Accept, ORIGIN'], [['Accept,Origin , Cookie'], 'Accept,Origin , Cookie'], [['X-Origin'], 'X-Origin, Origin'], [['*'], '*']] as const) {
    vary = [...given]
    t.equal((await request(port, 'GET', '/', [HOST])).headers.vary, expected)
  }
})

/** The headers as Node shows them. */
const shown = (rawHeaders: readonly string[]) => Object.fromEntries(
  rawHeaders.flatMap((name, i) => i % 2 === 0 ? [[name.toLowerCase(), rawHeaders[i + 1]]] : [])
)

const upstreamAt = { origin: 'http://up:5000', host: 'up:5000', path: '', headersTimeout: 0, ca: undefined }

t.test('headers that are meant for one hop, or decided on, go no further', async t => {
  const rules = { upstream: upstreamAt, via: '1.1 gw', passesDecided: false }
  interface Asking {
    isTrusted: boolean,
    connection: string,
    hasBody: boolean,
    ips: string[]
    headers: IncomingHttpHeaders,
    passesDecided: boolean
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
  t.same(ask(flat([...decided, 'Host']), { passesDecided: true }), [...flat(decided), 'Host', 'x', ...forwarded], 'nothing was decided')
  t.same(ask([], { passesDecided: true }), forwarded, 'HTTP/1.0 needs no Host')
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

t.test('what a Connection header costs grows with its length, not with its square', t => {
  const cost = (length: number): number => {
    const connection = `${'\u00a0'.repeat(length)}x`
    const begin = process.cpuUsage()
    for (let i = 0; i < 5; i++) t.same([...namedFields(connection) ?? []], ['x'])
    const { user, system } = process.cpuUsage(begin)
    return user + system
  }
  cost(100) // compiles
  t.ok(cost(32_000) < 500_000) // it took some seconds
  for (const connection of ['keep-alive', ' Close ', 'UPGRADE', '', '\t']) t.equal(namedFields(connection), undefined, connection)
  t.end()
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
    const passed = toUpstream({ raw: { headers, rawHeaders }, ip: '::1', host: 'a', protocol: 'http' }, { upstream: upstreamAt, via: 'v', passesDecided: false }, false, false)
    t.same(passed.slice(0, -8), lines)
    t.ok(reads < 10 * lines.length, `${reads} reads`) // it took a tenth of a second
  }
  t.end()
})

t.test('HTTP/2: the Host is :authority, and cookies that were split are one', async t => {
  const rules = { upstream: upstreamAt, via: '1.1 gw', passesDecided: true }
  const raw = { headers: { ':path': '/', ':authority': 'mlflow.company.com', cookie: 'a=1; b=2', accept: '*/*' }, rawHeaders: [':path', '/', 'cookie', 'a=1', 'accept', '*/*', 'cookie', 'b=2'] }
  t.same(toUpstream({ raw, ip: '::1', host: 'h', protocol: 'https' }, rules, false, false).slice(0, 6), [
    'cookie', 'a=1; b=2', 'accept', '*/*', 'Host', 'mlflow.company.com'
  ])
  const named = { headers: { ':path': '/', 'x-a': 'cookie', cookie: 'a=1; b=2' }, rawHeaders: [':path', '/', 'x-a', 'cookie', 'cookie', 'a=1', 'cookie', 'b=2'] }
  t.same(toUpstream({ raw: named, ip: '::1', host: 'h', protocol: 'https' }, rules, false, false).slice(0, 4), ['x-a', 'cookie', 'cookie', 'a=1; b=2'], 'a value is no name')
})

t.test('the Referer of the own page is what the upstream is told of it', async t => {
  const upstream = { ...upstreamAt, path: '/base' }
  const referer = (value: string, host: string, protocol: string, passesDecided = false) =>
    toUpstream({ raw: { headers: { referer: value }, rawHeaders: ['Referer', value] }, ip: '::1', host, protocol }, { upstream, via: 'v', passesDecided }, false, false)[1]
  for (const [value, host, protocol, expected] of [
    ['https://mlflow.company.com/signup?a=http://b', 'mlflow.company.com', 'https', 'https://up:5000/base/signup?a=http://b'],
    ['https://MLFLOW.company.com', 'mlflow.company.com:443', 'https', 'https://up:5000/base'],
    ['http://localhost:8080/', 'localhost:8080', 'http', 'http://up:5000/base/'],
    ['http://localhost:8080/', 'localhost:8080', 'https', 'https://up:5000/base/'],
    ['https://evil.com/mlflow.company.com/', 'mlflow.company.com', 'https', 'https://evil.com/mlflow.company.com/'],
    ['https://mlflow.company.com:8443/', 'mlflow.company.com', 'https', 'https://mlflow.company.com:8443/'],
    ['about:blank', 'mlflow.company.com', 'https', 'about:blank'], ['', 'mlflow.company.com', 'https', '']
  ] as const) t.equal(referer(value, host, protocol), expected, value)
  t.equal(referer('https://a/x', 'a', 'https', true), 'https://a/base/x', 'with the Host that is sent')
})

t.test('the headers of an answer: as they came, and the gateway\'s own', async t => {
  const rules = { upstream: upstreamAt, replaces: true, ancestors: undefined }
  const answer = (fields: string[], own = {}, more = {}) =>
    toClient(fields.map(text => Buffer.from(text, 'latin1')), own, { host: 'a', protocol: 'https' }, { ...rules, ...more }, {
      frameOptions: undefined, knowsTrailers: true
    })
  t.same(answer(['Connection', 'close, X-Hop ,x-other', 'X-Hop', '1', 'X-Other', '2', 'ETag', '3']).fields, ['ETag', '3', 'vary', 'Origin'])
  t.same(answer(['Connection', 'close', 'CONNECTION', 'vary, content-security-policy, content-length', 'Vary', 'a', 'Content-Security-Policy', 'b', 'Content-Length', '1']), {
    fields: ['Content-Length', '1', 'vary', 'Origin'], hasLength: true, isCoded: false
  })
  t.same(answer(['Set-Cookie', 'a', 'set-cookie', 'b', 'X', '1', 'x', '2'], { 'set-cookie': ['c', 'd'], x: '3', y: 4, z: undefined, 'x-frame-options': 'DENY' }).fields, [
    'Set-Cookie', 'a', 'set-cookie', 'b', 'X', '1', 'x', '2', 'set-cookie', 'c', 'set-cookie', 'd', 'y', '4', 'x-frame-options', 'DENY', 'vary', 'Origin'
  ], 'what the upstream says stands before what a hook says, and cookies beside')
  t.same(answer(['Trailer', 'a', 'TRAILER', 'b']).fields, ['Trailer', 'a, b', 'vary', 'Origin'])
  t.same(answer(['Trailer', 'a', 'Content-Length', '1']).fields, ['Content-Length', '1', 'vary', 'Origin'], 'no trailers without chunks')
  for (const [coding, isCoded] of [['chunked', false], ['Chunked', false], ['gzip, chunked', true], ['gzip', true]] as const) {
    t.equal(answer(['Transfer-Encoding', coding]).isCoded, isCoded, coding)
  }
  t.same(answer(['X-Frame-Options', 'x', 'Access-Control-Allow-Origin', '*', 'Vary', 'a', 'Content-Security-Policy', 'b'], {}, { replaces: false }).fields, [
    'X-Frame-Options', 'x', 'Access-Control-Allow-Origin', '*', 'Vary', 'a', 'Content-Security-Policy', 'b'
  ])
  t.same(answer([], { 'content-security-policy': ['img-src *', "frame-ancestors 'self'"] }).fields.at(-1), "img-src *, frame-ancestors 'self'", 'a hook\'s own stands')
  for (const [location, expected] of [
    ['HTTP://UP:5000/a', 'https://a/a'], ['/login?next=http://up:5000/b', '/login?next=http://up:5000/b'], ['http://up:5001/a', 'http://up:5001/a'],
    ['?a', '?a'], ['//up:5000//x', 'https://a/x']
  ] as const) t.equal(answer(['Location', location]).fields[1], expected, location)
})

t.test('redirects to the upstream lead to the gateway', async t => {
  let location = ''
  const target = await upstream(t, (_request, response) => { response.writeHead(307, { location }).end() })
  const { host } = new URL(target)
  const { port } = await gateway(t, { upstream: target })
  const below = await gateway(t, { upstream: `${target}/base/` })
  const cases: Array<[location: string, expected: string, belowBase: string]> = [
    [`${target}/a?b=1`, 'http://localhost/a?b=1', `${target}/a?b=1`],
    [`https://${host}/base/a`, 'http://localhost/base/a', 'http://localhost/a'],
    [target, 'http://localhost/', target],
    [`${target}?q`, 'http://localhost/?q', `${target}?q`],
    [`${target}/base`, 'http://localhost/base', 'http://localhost/'],
    [`${target}/base?next=//a`, 'http://localhost/base?next=//a', 'http://localhost/?next=//a'],
    [`${target}/based`, 'http://localhost/based', `${target}/based`],
    ['/base/a', '/base/a', '/a'],
    ['/other/base/a', '/other/base/a', '/other/base/a'],
    ['a', 'a', 'a'],
    ['/base//evil.com/x/', '/base//evil.com/x/', '/evil.com/x/'],
    ['/base/\\evil.com', '/base/\\evil.com', '/evil.com'],
    [`${target}/base//evil.com`, 'http://localhost/base//evil.com', 'http://localhost/evil.com'],
    [`//${host}/base/a`, 'http://localhost/base/a', 'http://localhost/a'],
    ['//evil.com/base/a', '//evil.com/base/a', '//evil.com/base/a'],
    ['/\\evil.com', '/\\evil.com', '/\\evil.com'],
    ['https://other.com/base/a', 'https://other.com/base/a', 'https://other.com/base/a']
  ]
  for (const [answer, expected, belowBase] of cases) {
    location = answer
    t.equal((await request(port, 'GET', '/', [HOST])).headers.location, expected, answer)
    t.equal((await request(below.port, 'GET', '/', [HOST])).headers.location, belowBase, `below /base: ${answer}`)
  }
})

t.test('paths reach the upstream as they came, below its own path', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const { port } = await gateway(t, { upstream: target })
  const below = await gateway(t, { upstream: `${target}/base/` })
  const cases: Array<[path: string, expected: string]> = [
    ['/', '/'], ['/?', '/?'], ['/?q', '/?q'], ['/a%2Fb', '/a%2Fb'], ['/a//b', '/a//b'], ['/%C3%A4?x=%zz', '/%C3%A4?x=%zz'], ['/a;b=c', '/a;b=c'],
    [`/${'a'.repeat(300)}`, `/${'a'.repeat(300)}`], ['http://localhost/abs?q=1', '/abs?q=1'], ['http://localhost?q=1', '/?q=1'], ['http://localhost', '/'],
    ['/.a/b.', '/.a/b.'], ['/a?/./..', '/a?/./..'], ['/..hidden/v1../...', '/..hidden/v1../...'], ['/%2F..%2f', '/%2F..%2f'], ['/a%23b', '/a%23b'],
    ['//api/2.0', '//api/2.0'], ['///evil.com/x', '///evil.com/x'], ['http://localhost//api', '//api'], ['/%5c..%5c', '/%5c..%5c'], ['/..;/a', '/..;/a'],
    ['/a?next=http://b.com/c', '/a?next=http://b.com/c'], ['/http://b.com/c', '/http://b.com/c'], ['/health', '/health'], ['/a/', '/a/']
  ]
  for (const [path, expected] of cases) {
    seen.length = 0
    await request(port, 'GET', path, [HOST])
    await request(below.port, 'GET', path, [HOST])
    t.same(seen.map(({ url }) => url), [expected, `/base${expected}`], path)
  }
  for (const path of ['/a/../../etc', '/%2e%2e/x', '/a/..\\..\\x', '/./secret', '/%2e/secret', '/.\\secret', '/a\\b', '/a/.', 'http://localhost/./x', '/a#b', '/a?b#c', '/a/..', '/%2e./x', '*']) {
    seen.length = 0
    t.match(await request(below.port, 'GET', path, [HOST]), { status: 400, body: 'FST_MLFLOW_SECURITY_AMBIGUOUS_PATH' }, path)
    t.equal(await upgrade(below.port, path, [HOST]), 400, `an upgrade to ${path}`)
    t.same(seen, [], 'nothing reaches the upstream')
  }
})

t.test('foreign Hosts, Origins, preflights and upgrades stop at the gateway', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const origin = ['Origin', 'https://evil.com'] as const
  for (const [method, headers, status] of [
    ['GET', [['Host', 'evil.com']], 403],
    ['GET', [], 400],
    ['POST', [HOST, origin], 403],
    ['OPTIONS', [HOST, origin, ['Access-Control-Request-Method', 'POST']], 403],
    ['OPTIONS', [HOST, ['Origin', 'http://localhost'], ['Access-Control-Request-Method', 'POST']], 204]
  ] as const) t.equal((await request(port, method, CREATE_RUN, headers)).status, status)
  t.equal(await upgrade(port, '/', [HOST, origin]), 403)
  t.equal(await upgrade(port, '/health', [['Host', 'evil.com'], origin]), 403)
  t.same(seen, [], 'nothing reaches the upstream')
  t.equal((await request(port, 'OPTIONS', '/', [HOST])).status, 200, 'a bare OPTIONS is the upstream\'s')
  t.equal((await request(port, 'OPTIONS', '*', [HOST])).status, 400, 'OPTIONS * would be OPTIONS /* to it')
})

t.test('probes ask by any Host, and only they', async t => {
  const { listener } = recorder()
  const target = await upstream(t, listener)
  const evil = ['Host', 'evil.com'] as const
  for (const [options, path, status] of [
    [{}, '/health', 200], [{}, '/version', 200], [{}, '/health/x', 403], [{}, '/api/../health', 403], [{}, '/mlflow/health', 403],
    [{ staticPrefix: '/mlflow' }, '/mlflow/health', 200], [{ staticPrefix: '/mlflow' }, '/mlflow/version', 200],
    [{ staticPrefix: '/mlflow' }, '/health', 403], [{ healthRoutes: '/ping' }, '/ping', 200], [{ healthRoutes: '/*' }, '/ping', 200],
    [{ healthRoutes: '/static-files/lib/notebook-trace-renderer/*' }, '/static-files/lib/notebook-trace-renderer/x', 200], [{ healthRoutes: [] }, '/health', 403]
  ] as const) {
    const { port } = await gateway(t, { upstream: target, ...options })
    t.equal((await request(port, 'GET', path, [evil])).status, status, `${path} ${JSON.stringify(options)}`)
    t.equal((await request(port, 'HEAD', path, [evil])).status, status, `HEAD ${path}`)
  }
})

t.test('the trace renderer of notebooks may be framed by anyone, nothing else', async t => {
  const target = await upstream(t, (_request, response) => { response.setHeader('x-frame-options', 'DENY').end('<p>') })
  for (const staticPrefix of ['', '/mlflow']) {
    const { port } = await gateway(t, { upstream: target, staticPrefix, frameAncestors: 'https://nb.company.com' })
    const headers = async (path: string) => (await request(port, 'GET', staticPrefix + path, [HOST])).headers
    const renderer = await headers('/static-files/lib/notebook-trace-renderer/index.html')
    t.notOk(renderer['x-frame-options'])
    t.notOk(renderer['content-security-policy'])
    t.equal((await headers('/static-files/index.html'))['x-frame-options'], 'SAMEORIGIN')
    t.equal((await headers('/'))['content-security-policy'], "frame-ancestors 'self' https://nb.company.com")
  }
})

t.test('a gateway whose upstream leads back to it says so, and does not ask itself for ever', async t => {
  let port = 0
  const back = await upstream(t, ({ headers, url }, response) => {
    fetch(`http://127.0.0.1:${port}${url}`, { headers: { via: headers.via ?? '' } })
      .then(async answer => { response.writeHead(answer.status).end(await answer.text()) })
  })
  const { port: own } = await gateway(t, { upstream: back })
  port = own
  t.match(await request(port, 'GET', '/', [HOST]), { status: 508, body: /FST_MLFLOW_SECURITY_LOOP.*MLFLOW_TRACKING_URI/ })
  const { listener } = recorder()
  port = (await gateway(t, { upstream: await upstream(t, listener) })).port
  t.equal((await request(own, 'GET', '/', [HOST])).status, 200, 'another gateway behind it is fine')
})

t.test('plugins, hooks and routes that are added to it come before the proxy', async t => {
  const { seen, listener } = recorder()
  const routes: string[] = []
  const app = createGateway({
    upstream: await upstream(t, listener),
    before: async app => {
      await app.register(async () => {})
      app.addHook('onRoute', ({ url }) => { routes.push(url) })
      app.post('/login', async request => request.body)
      app.get('/', async () => 'own page')
      app.get('/health', async () => 'own health')
    }
  })
  t.teardown(() => app.close())
  await app.after()
  app.addHook('onRequest', async request => { if (request.url === '/secret') throw Object.assign(new Error('no'), { statusCode: 401 }) })
  const port = await listen(app)
  await app.ready()
  t.equal((await request(port, 'GET', '/secret', [HOST])).status, 401)
  t.equal((await request(port, 'GET', '/open', [HOST])).status, 200)
  for (const [path, body] of [['/', 'own page'], ['/health', 'own health']] as const) t.equal((await request(port, 'GET', path, [HOST])).body, body)
  const body = JSON.stringify({ user: 'a' })
  const head = `Host: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\nConnection: close`
  t.match(await send(port, `POST /login HTTP/1.1\r\n${head}\r\n\r\n${body}`), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK[^]*\{"user":"a"\}$/, 'its own routes parse')
  t.ok(routes.includes('/*'), 'onRoute sees the proxy\'s routes')
  t.same(seen.map(({ url }) => url), ['/open'])
})

t.test('what fails in a hook that is added to it is not told as MLflow\'s failure', async t => {
  const { listener } = recorder()
  const app = createGateway({ upstream: await upstream(t, listener) })
  t.teardown(() => app.close())
  const codes = ['ECONNRESET', 'UND_ERR_CONNECT_TIMEOUT', 'HPE_INVALID']
  app.addHook('preHandler', async ({ headers }) => { throw Object.assign(new Error('the login server'), { code: codes[Number(headers['x-case'])] }) })
  app.setErrorHandler(({ message }: Error, _request, reply) => { reply.code(503).header('retry-after', '1').send(message) })
  const port = await listen(app)
  for (const [i, code] of codes.entries()) {
    t.match(await request(port, 'GET', '/', [HOST, ['X-Case', String(i)]]), { status: 503, body: 'the login server', headers: { 'retry-after': '1' } }, code)
  }
})

t.test('a wrong setting is said before anything listens', async t => {
  const cases: Array<[options: Parameters<typeof createGateway>[0], message: RegExp]> = [
    [undefined, /^upstream \(MLFLOW_TRACKING_URI, --upstream\) is missing\. It is the URL/],
    [{ upstream: '127.0.0.1:5000' }, /is not an http or https URL.*Did you mean "http:\/\/127\.0\.0\.1:5000"\?$/],
    [{ upstream: 'localhost:5000/x' }, /Did you mean "http:\/\/localhost:5000\/x"\?$/],
    [{ upstream: 'sqlite:///m.db' }, /is not an http or https URL\. Allowed: .*path\.$/],
    [{ upstream: 'http://127.0.0.1:0' }, /"http:\/\/127\.0\.0\.1:0" has port 0, on which no server can be reached\./],
    [{ upstream: 'databricks' }, /Did you mean "http:\/\/databricks"\?$/],
    [{ upstream: 'http://user:pass@host:1/' }, /^upstream[^:]*: "http:\/\/\*\*\*@host:1" contains credentials.*Did you mean "http:\/\/host:1"\?$/],
    [{ upstream: 'http://user@host' }, /contains credentials/],
    [{ upstream: 'http://:pass@host' }, /contains credentials/],
    [{ upstream: 'host:80/a/b' }, /Did you mean "http:\/\/host:80\/a\/b"\?$/],
    [{ upstream: 'http://host/a?b' }, /has a query or a fragment.*Did you mean "http:\/\/host\/a"\?$/],
    [{ upstream: 'http://host/#b' }, /has a query or a fragment/],
    [{ upstream: 'http://a', staticPrefix: 'mlflow/' }, /^staticPrefix \(--static-prefix\): "mlflow\/" is not a valid path.*Did you mean "\/mlflow"\?$/],
    [{ upstream: 'http://a', staticPrefix: '/' }, /"\/" is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '/a/%2' }, /is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '/a/%E9' }, /is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '/a/%2e%2E' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: '/a%2f./b' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: 'a%40b' }, /Did you mean "\/a%40b"\?$/],
    [{ upstream: 'http://a', staticPrefix: 'a b/' }, /is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: '//mlflow//' }, /Did you mean "\/mlflow"\?$/],
    [{ upstream: 'http://a', staticPrefix: '//' }, /"\/\/" is not a valid path\. Allowed: .*: \/mlflow\.$/],
    [{ upstream: 'http://a', staticPrefix: 'x/mlflow' }, /Did you mean "\/x\/mlflow"\?$/],
    [{ upstream: 'http://a', staticPrefix: '/a/..' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: '/./a' }, /is not a valid path/],
    [{ upstream: 'http://a', staticPrefix: '/a?b' }, /is not a valid path/],
    [{ upstream: 'http://a', upstreamTimeout: 86_401 }, /86401 is not a valid number/],
    [{ upstream: 'http://a', upstreamTimeout: -1 }, /^upstreamTimeout \(--upstream-timeout\): -1 is not a valid number\. Allowed: seconds/],
    [{ upstream: 'http://a', upstreamTimeout: NaN }, /is not a valid number/],
    [{ upstream: 'http://a', ...JSON.parse('{ "before": "x" }') }, /^before: "x" is not a function\. Allowed: a function that takes the app/],
    [{ upstream: 'http://a', ...JSON.parse('{ "fastify": "x" }') }, /^fastify: "x" is not an object\. Allowed: an object/],
    [{ upstream: 'http://a', ...JSON.parse('{ "fastify": null }') }, /^fastify: null is not an object/],
    [{ upstream: 'http://a', ...JSON.parse('{ "tls": null }') }, /^tls \(--cert, --key\): \[\] has no cert or no key\./],
    [{ upstream: 'http://a', ...JSON.parse('{ "tls": "x" }') }, /has no cert or no key/],
    [{ upstream: 'http://a', tls: {} }, /^tls \(--cert, --key\): \[\] has no cert or no key\. Allowed: an object with cert and key in PEM\.$/],
    [{ upstream: 'http://a', tls: { cert: '', key: 'secret' } }, /^tls \(--cert, --key\): \["cert","key"\] has no cert or no key/],
    [{ upstream: 'http://a', tls: { cert: 'x' } }, /has no cert or no key/],
    [{ upstream: 'http://a', fastify: { trustProxy: 'foo' } }, /^trustProxy \(--trust-proxy\): "foo" has an invalid IP address: foo\. Allowed: addresses and ranges of the proxies in front \(127\.0\.0\.1, 10\.0\.0\.0\/8\), loopback, linklocal, uniquelocal\.$/],
    [{ upstream: 'http://a', fastify: { trustProxy: '10.0.0.0/99' } }, /invalid range/]
  ]
  for (const [options, message] of cases) t.throws(() => createGateway(options), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message })
  t.throws(() => createGateway({ upstream: 'http://a', fastify: { bodyLimit: 0.5 } }), { code: 'FST_ERR_ROUTE_BODY_LIMIT_OPTION_NOT_INT' }, 'Fastify\'s own as they are')
  const app = createGateway({ upstream: 'http://a', allowedHosts: 'https://x' })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' })
  await t.rejects(loadOptional('leftpad', async () => { throw Object.assign(new Error('missing'), { code: 'ERR_MODULE_NOT_FOUND' }) }), {
    code: 'FST_MLFLOW_SECURITY_MISSING_DEPENDENCY', message: 'The gateway needs leftpad, which is not installed. Run npm install leftpad, or npm install --include=optional for everything that the gateway needs'
  })
  for (const broken of [new Error('broken'), Object.assign(new Error('broken'), { code: 'EACCES' })]) {
    await t.rejects(loadOptional('broken', async () => { throw broken }), { message: /^broken$/ })
  }
})

t.test('what the options of the gateway become', async t => {
  t.match(resolveGatewayOptions({ upstream: 'https://MLflow.internal:443/base//', staticPrefix: '/a/b', upstreamTimeout: 86_400, xFrameOptions: 'DENY' }, {}), {
    upstream: { origin: 'https://mlflow.internal', host: 'mlflow.internal', path: /^\/base$/, headersTimeout: 86_400_000 },
    staticPrefix: '/a/b',
    security: { healthRoutes: ['/a/b/health', '/a/b/version'], xFrameOptions: 'DENY' }
  })
  t.match(resolveGatewayOptions({ upstreamTimeout: 0.0001 }, { MLFLOW_TRACKING_URI: 'http://a:5000' }), {
    upstream: { origin: 'http://a:5000', path: '', headersTimeout: 1 }, staticPrefix: ''
  })
})

t.test('MLFLOW_TRACKING_URI names the upstream', async t => {
  const { seen, listener } = recorder()
  process.env.MLFLOW_TRACKING_URI = await upstream(t, listener)
  t.teardown(() => { delete process.env.MLFLOW_TRACKING_URI })
  const { port } = await gateway(t, {})
  await request(port, 'GET', '/x', [HOST])
  t.equal(seen.length, 1)
})
