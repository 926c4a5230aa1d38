// The gateway as a plugin of an app, and what it refuses itself or passes on as it came.
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import mlflowGateway from '../../lib/gateway.js'
import mlflowSecurity from '../../lib/index.js'
import { createApp, listen, request, send } from '../fixtures/server.js'
import { gateway, prepared, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const

t.test('the plugin in an app of one\'s own, behind a login', async t => {
  const { seen, listener } = recorder()
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { allowedHosts: 'localhost' })
  app.addHook('onRequest', async ({ headers, routeOptions }) => {
    if (app.mlflowSecurity.settings.healthRoutes.includes(routeOptions.url ?? '')) return
    if (headers.authorization !== 'Basic ok') throw Object.assign(new Error('who are you?'), { statusCode: 401 })
    headers['x-forwarded-user'] = 'ada'
    delete headers.authorization
  })
  app.post('/own', async ({ body }) => body)
  await app.register(mlflowGateway, { upstream: await upstream(t, listener) })
  const port = await listen(app)
  t.equal((await request(port, 'GET', '/', [EVIL])).status, 403, 'the checks come first')
  t.equal((await request(port, 'GET', '/', [HOST])).status, 401)
  t.equal((await request(port, 'GET', '/%68ealth', [HOST])).status, 401, 'no other writing of a health route is exempt')
  t.equal((await request(port, 'GET', '/health', [EVIL])).status, 200)
  seen.length = 0
  t.equal((await request(port, 'GET', '/a', [HOST, ['Authorization', 'Basic ok'], ['X-Forwarded-User', 'eve']])).status, 200)
  t.match(seen, [{ url: '/a', headers: { authorization: undefined, 'x-forwarded-user': 'ada' } }], 'what the login says of the user passes, what the client says does not')
  const own = await fetch(`http://127.0.0.1:${port}/own`, {
    method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json', authorization: 'Basic ok', host: 'localhost' }
  }).catch(() => undefined)
  t.ok(own !== undefined)
})

t.test('routes of the app parse their bodies as ever', async t => {
  const { app } = createApp(t)
  app.post('/own', async ({ body }) => body)
  await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:1' })
  const port = await listen(app)
  const json = await fetch(`http://127.0.0.1:${port}/own`, { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } })
  t.same(await json.json(), { a: 1 })
  const other = await fetch(`http://127.0.0.1:${port}/own`, { method: 'POST', body: 'x', headers: { 'content-type': 'application/x-own' } })
  t.equal(other.status, 415, 'what it has no parser for is refused')
})

t.test('disabled: the upstream judges for itself; reportOnly: it is said that nobody does', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const off = await gateway(t, { upstream: target, disableSecurityMiddleware: true, reportOnly: true })
  const headers = [EVIL, ['Origin', 'https://evil.com'], ['Sec-Fetch-Site', 'cross-site']] as const
  t.equal((await request(off.port, 'POST', '/', headers)).status, 200)
  t.match(seen, [{ headers: { host: 'evil.com', origin: 'https://evil.com', 'sec-fetch-site': 'cross-site', 'x-forwarded-host': 'evil.com' } }])
  t.match(await request(off.port, 'GET', '/', [HOST, EVIL]), { status: 400, body: /DOUBLED_HOST/ })
  t.equal((await send(off.port, 'GET / HTTP/1.0\r\n\r\n')).split(' ')[1], '200', 'HTTP/1.0 needs no Host')
  t.notOk(off.lines.some(({ msg }) => /nobody refuses/.test(msg)))
  const trial = await gateway(t, { upstream: target, reportOnly: true })
  t.ok(trial.lines.some(({ level, msg }) => level === 40 && /its own checks pass everything/.test(msg)))
  t.notOk((await gateway(t, { upstream: target })).lines.some(({ level }) => level === 40))
})

t.test('bodies of any type reach the upstream, with a length or in chunks', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const chunked = '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'
  for (const [type, head, wire, body] of [
    ['application/json', 'Content-Length: 7', '{"a":1}', '{"a":1}'],
    ['application/json', 'Content-Length: 3', '{no', '{no'],
    ['application/json', 'Content-Length: 0', '', ''],
    ['application/x-protobuf', 'Transfer-Encoding: chunked', chunked, 'abcde'],
    ['multipart/form-data; boundary=x', 'Content-Length: 2', '--', '--']
  ] as const) {
    seen.length = 0
    await send(port, `PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\n${head}\r\nConnection: close\r\n\r\n${wire}`)
    t.match(seen, [{ method: 'PUT', headers: { 'content-type': type }, body }], `${type} ${head}`)
  }
  await send(port, `POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunked}`)
  t.match(seen[1], { method: 'POST', body: 'abcde' }, 'without a type')

  for (const [method, head] of [['GET', 'Content-Length: 5'], ['HEAD', 'Content-Length: 5'], ['GET', 'Transfer-Encoding: chunked'], ['DELETE', 'Transfer-Encoding: chunked']] as const) {
    seen.length = 0
    await send(port, `${method} /x HTTP/1.1\r\nHost: localhost\r\n${head}\r\nConnection: close\r\n\r\n${head.endsWith('5') ? 'abcde' : chunked}`)
    t.match(seen, [{ method, body: 'abcde' }], `${method} with a body`)
  }
})

t.test('Expect: 100-continue is answered when the request is allowed, not before', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const ask = async (host: string) => {
    const socket = connect(port, '127.0.0.1')
    socket.write(`POST /x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`)
    const [first] = await once(socket.setEncoding('latin1'), 'data')
    return { socket, first: String(first).split('\r\n')[0] }
  }
  const refused = await ask('evil.com')
  t.equal(refused.first, 'HTTP/1.1 403 Forbidden')
  refused.socket.destroy()
  const { socket, first } = await ask('localhost')
  t.equal(first, 'HTTP/1.1 100 Continue')
  socket.write('abcde')
  const [answer] = await once(socket, 'data')
  t.match(answer, /^HTTP\/1\.1 200 OK/)
  t.match(seen, [{ body: 'abcde', headers: { expect: undefined } }])
  const old = await send(port, 'POST /x HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde')
  t.match(old, /^HTTP\/1\.1 200 OK/, 'HTTP/1.0 knows no 100 (RFC 9110 §10.1.1)')
})

t.test('what would smuggle a request through is refused, or made unambiguous', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener) })
  const post = 'POST /x HTTP/1.1\r\nHost: localhost\r\n'
  for (const head of ['Content-Length: 5\r\nTransfer-Encoding: chunked', 'Transfer-Encoding: xchunked', 'Content-Length: 0\r\nContent-Length: 5', 'Content-Length: +5']) {
    t.match(await send(port, `${post}${head}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n`), /^HTTP\/1\.1 (400|501) /, head)
  }
  t.match(await send(port, `${post}Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`), /^HTTP\/1\.1 501 [^]*CODED_TRANSFER/)
  t.same(seen, [])
  await send(port, `${post}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n`)
  await send(port, `${post}Content-Length: 3\r\nConnection: close, host, content-length, x-forwarded-for\r\n\r\nabc`)
  t.match(seen, [{ body: 'abc' }, { body: 'abc', headers: { 'x-forwarded-for': '127.0.0.1' } }])
  t.equal(seen.length, 2)
})

t.test('a malformed Content-Type passes, and hooks see it', async t => {
  const { seen, listener } = recorder()
  const types: unknown[] = []
  const { port } = await prepared(t, {
    upstream: await upstream(t, listener),
    before: app => { app.addHook('preHandler', async ({ headers }) => { types.push(headers['content-type']) }) }
  }, () => {})
  for (const type of ['text', ';;', 'a/b/c', 'application/json, text/plain', undefined]) {
    seen.length = 0
    const head = type === undefined ? [] : [`Content-Type: ${type}\r\n`]
    await send(port, `POST / HTTP/1.1\r\nHost: localhost\r\n${head.join('')}Content-Length: 3\r\nConnection: close\r\n\r\nabc`)
    t.match(seen, [{ body: 'abc', headers: { 'content-type': type } }])
  }
  t.strictSame(types, ['text', ';;', 'a/b/c', 'application/json, text/plain', undefined])
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
