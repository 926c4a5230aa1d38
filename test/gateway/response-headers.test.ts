import t from 'tap'
import { toClient } from '../../lib/gateway/response-headers.js'
import { request } from '../fixtures/server.js'
import { gateway, prepared, upstream, upstreamAt } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

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

t.test('Vary names Origin once', async t => {
  let vary: string[] = []
  const target = await upstream(t, (_request, response) => { response.setHeader('vary', vary).end() })
  const { port } = await gateway(t, { upstream: target })
  for (const [given, expected] of [[['accept', 'cookie'], 'accept, cookie, Origin'], [['Accept, ORIGIN'], 'Accept, ORIGIN'], [['Accept,Origin , Cookie'], 'Accept,Origin , Cookie'], [['X-Origin'], 'X-Origin, Origin'], [['*'], '*']] as const) {
    vary = [...given]
    t.equal((await request(port, 'GET', '/', [HOST])).headers.vary, expected)
  }
})

t.test('the headers of an answer: as they came, and the gateway\'s own', async t => {
  const rules = { upstream: upstreamAt, checks: true, ancestors: undefined }
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
  t.same(answer(['X-Frame-Options', 'x', 'Access-Control-Allow-Origin', '*', 'Vary', 'a', 'Content-Security-Policy', 'b'], {}, { checks: false }).fields, [
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

t.test('headers that a plugin writes on the raw response cost the upstream none of its own', async t => {
  const target = await upstream(t, (_request, response) => { response.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'X-Powered-By', 'up', 'content-length', '2']).end('ok') })
  const { port } = await prepared(t, { upstream: target }, app => {
    app.addHook('onRequest', async (_request, reply) => { reply.raw.setHeader('Strict-Transport-Security', 'max-age=1').setHeader('X-Powered-By', 'helmet') })
  })
  t.match((await request(port, 'GET', '/', [HOST])).headers, { 'set-cookie': 'a=1, b=2', 'strict-transport-security': 'max-age=1', 'x-powered-by': /^up$/ })
})
