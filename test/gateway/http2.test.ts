// What is different by HTTP/2, which a gateway with a certificate speaks.
import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { askHttp2, secure } from '../fixtures/http2.js'
import { settled, until } from '../fixtures/until.js'
import { recorder, upstream } from '../fixtures/upstream.js'

t.test('HTTP/2 with a certificate: cookies joined, bodies, doubles, trailers and hints, beside HTTP/1.1', async t => {
  const { seen, listener } = recorder(response => {
    response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    response.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'Trailer', 'x-sum'])
    response.write('ok')
    response.addTrailers([['X-Sum', '1']])
    response.end()
  })
  const { port, cert, session, close } = await secure(t, { upstream: await upstream(t, listener), frameAncestors: 'https://nb' })
  const answer = await askHttp2(session, { ':path': '/a', ':method': 'PUT', cookie: ['a=b', 'c=d'], 'content-type': 'text' }, 'body')
  t.match(seen, [{ method: 'PUT', url: '/a', body: 'body', headers: { cookie: /^a=b; c=d$/, 'x-forwarded-proto': 'https', 'x-forwarded-host': `127.0.0.1:${port}`, 'content-type': 'text' } }])
  t.match(answer, {
    headers: { ':status': 200, 'set-cookie': ['a=1', 'b=2'], 'x-frame-options': 'SAMEORIGIN', 'content-security-policy': "frame-ancestors 'self' https://nb" },
    body: 'ok',
    trailers: { 'x-sum': '1' },
    hints: [{ ':status': 103, link: '</a.css>; rel=preload' }]
  })
  t.equal((await askHttp2(session, { ':path': '/', ':authority': 'evil.com' })).headers[':status'], 403)
  t.match(await askHttp2(session, { ':path': '/b' }), { headers: { ':status': 200 }, body: 'ok' }, 'a GET has no body')
  t.notOk(seen.at(-1)?.headers['transfer-encoding'])

  const socket = connectTls({ port, host: '127.0.0.1', ca: cert, ALPNProtocols: ['http/1.1'] })
  socket.write('GET /c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  t.match(text, /HTTP\/1\.1 200 OK/)
  await close()
  t.pass('it ends, with a session open')
})

t.test('HTTP/2: an answer that breaks off resets its stream alone, and a client that hangs up ends its request', async t => {
  const closed: string[] = []
  const target = await upstream(t, (request, response) => {
    response.on('close', () => { closed.push(request.url ?? '') })
    if (request.url === '/ok') { response.end('ok'); return }
    response.writeHead(200, { 'content-length': '100' }).write('begun')
    if (request.url === '/breaks') setTimeout(() => response.destroy(), 50)
  })
  const { session, close } = await secure(t, { upstream: target })
  await t.rejects(askHttp2(session, { ':path': '/breaks' }), { code: 'ERR_HTTP2_STREAM_ERROR' })
  const stream = session.request({ ':path': '/waits' })
  await once(stream, 'data')
  stream.close(constants.NGHTTP2_CANCEL)
  await until(() => closed.includes('/waits'))
  t.match(await askHttp2(session, { ':path': '/ok' }), { body: 'ok' }, 'the session lives on')
  await close()
})

t.test('HTTP/2: a stream that is reset while a hook waits asks the upstream for nothing', async t => {
  const { seen, listener } = recorder()
  let waiting = (): void => {}
  const { session, close } = await secure(t, {
    upstream: await upstream(t, listener),
    before: app => {
      app.addHook('preHandler', async ({ url, raw }) => {
        if (url !== '/gone') return
        await new Promise<void>(resolve => { raw.once('close', resolve); waiting() })
      })
    }
  })
  const begun = new Promise<void>(resolve => { waiting = resolve })
  const stream = session.request({ ':path': '/gone' })
  stream.on('error', () => {})
  await begun
  stream.close(constants.NGHTTP2_CANCEL)
  await once(stream, 'close')
  t.match(await askHttp2(session, { ':path': '/' }), { body: 'ok' }, 'the session lives on')
  t.strictSame(seen.map(({ url }) => url), ['/'])
  await close()
})

t.test('HTTP/2: a head that Node will not send is a 502 in its place, whole', async t => {
  const target = await upstream(t, (request, response) => {
    if (request.url === '/dated') { response.writeHead(200, ['Date', 'a', 'Date', 'b']).end('ok'); return }
    if (request.url === '/open') { response.writeHead(302, ['Location', '/a', 'Location', '/b']).write('begun'); return }
    response.writeHead(302, request.url === '/doubled' ? ['Location', '/a', 'Location', '/b', 'X-Up', '1', 'Content-Length', '2'] : ['Location', '/a', 'Content-Length', '2']).end('ok')
  })
  const { session, close } = await secure(t, { upstream: target })
  const answer = await askHttp2(session, { ':path': '/doubled' })
  t.match(answer, { headers: { ':status': 502, location: undefined, 'x-up': undefined, 'content-type': /json/ }, body: 'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE' })
  t.equal(answer.headers['content-length'], String(answer.body.length))
  t.match(await askHttp2(session, { ':path': '/open' }), { headers: { ':status': 502, location: undefined } }, 'nor while the body is still coming')
  const dated = await askHttp2(session, { ':path': '/dated' })
  t.match(dated, { headers: { ':status': 502 }, body: 'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE' }, 'a second Date neither')
  t.ok(Date.parse(String(dated.headers.date)) > 0, 'the error has its own')
  t.match(await askHttp2(session, { ':path': '/' }), { headers: { ':status': 302, location: '/a' }, body: 'ok' }, 'the session lives on')
  await close()
})

t.test('HTTP/2: CONNECT, with a protocol (RFC 8441) or without, and methods that nobody knows are refused, and the session lives on', async t => {
  const { seen, listener } = recorder()
  const { port, session, close } = await secure(t, { upstream: await upstream(t, listener) })
  const authority = `127.0.0.1:${port}`
  if (session.remoteSettings.maxConcurrentStreams === undefined) await once(session, 'remoteSettings')
  t.notOk(session.remoteSettings.enableConnectProtocol, 'no browser tries a WebSocket this way')
  const socket = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', ':scheme': 'https', ':authority': authority, 'sec-websocket-version': '13' })
  const [error] = await once(socket, 'error')
  t.match(error, { code: 'ERR_HTTP2_STREAM_ERROR', message: /PROTOCOL_ERROR/ })
  const tunnel = session.request({ ':method': 'CONNECT', ':authority': authority })
  const [headers] = await once(tunnel, 'response')
  t.equal(headers[':status'], 405)
  tunnel.destroy()
  for (const method of ['FOO', 'PROPFIND', 'get', '__proto__']) {
    t.match(await askHttp2(session, { ':method': method, ':path': '/' }), { headers: { ':status': 404, 'x-content-type-options': 'nosniff' } }, method)
    const foreign = await askHttp2(session, { ':method': method, ':path': '/', ':authority': 'evil.com' })
    t.equal(foreign.headers[':status'], method === 'PROPFIND' ? 403 : 404, 'Node knows this one, and the hooks see it')
  }
  t.strictSame(seen, [])
  t.match(await askHttp2(session, { ':path': '/' }), { headers: { ':status': 200 }, body: 'ok' })
  await close()
})

t.test('HTTP/2: streams that are reset at once, by the thousand, cost neither the gateway nor the upstream much', async t => {
  const load = { running: 0, most: 0 }
  const target = await upstream(t, (request, response) => {
    if (request.url === '/ok') { response.end('ok'); return }
    load.most = Math.max(load.most, ++load.running)
    response.once('close', () => { load.running-- })
  })
  let asked = 0
  const { port, cert, session, close } = await secure(t, {
    upstream: target, before: app => { app.addHook('onRequest', async () => { asked++ }) }
  })
  session.on('error', () => {})
  const closed = new Promise<void>(resolve => { session.once('close', resolve) })
  const one = async (): Promise<void> => {
    const stream = session.request({ ':path': '/reset' })
    stream.on('error', () => {})
    stream.close(constants.NGHTTP2_CANCEL)
    await new Promise(resolve => { stream.once('close', resolve) })
    ended++
  }
  let ended = 0
  // Newer Node takes no more than a thousand resets of a session, and leaves it as it is then.
  for (let i = 0; i < 20 && !session.destroyed; i++) {
    await Promise.race([closed, Promise.all(Array.from({ length: 100 }, one)), settled(() => ended)])
  }
  await until(() => load.running === 0) // no request of them goes on at the upstream
  t.ok(asked > 100, `${asked} have come to the gateway`)
  t.ok(load.most <= 200, `${load.most} at a time at most`)
  const other = connectHttp2(`https://127.0.0.1:${port}`, { ca: cert })
  t.teardown(() => { other.destroy() })
  t.match(await askHttp2(other, { ':path': '/ok' }), { body: 'ok' }, 'others are served')
  other.close()
  session.destroy()
  await close()
})

t.test('HTTP/2: the head of an answer goes out when it comes', async t => {
  let end = (): void => {}
  const target = await upstream(t, (_request, response) => { response.flushHeaders(); end = () => { response.end('late') } })
  const { session, close } = await secure(t, { upstream: target })
  const stream = session.request({ ':path': '/' })
  const [headers] = await once(stream, 'response')
  t.equal(headers[':status'], 200, 'before there is a body')
  end()
  let text = ''
  for await (const chunk of stream) text += chunk
  t.equal(text, 'late')
  await close()
})

t.test('one client cannot open any number of connections to the upstream', async t => {
  let asked = 0
  const { session, close } = await secure(t, { upstream: await upstream(t, () => { asked++ }) })
  for (let i = 0; i < 300; i++) session.request().on('error', () => {})
  await until(() => asked > 0)
  t.equal(await settled(() => asked), 250)
  session.destroy()
  await close()
})

t.test('headers have the limit that they have over HTTP/1.1', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener, { maxHeaderSize: 1 << 17 })
  const cookies = Array.from({ length: 180 }, (_, i) => `cookie${i}=1`)
  const cases = [[undefined, 16_000, 200], [undefined, 17_000, 431], [8192, 9000, 431], [65_536, 60_000, 200]] as const
  for (const [maxHeaderSize, length, status] of cases) {
    const fastify = maxHeaderSize === undefined ? {} : { http: { maxHeaderSize } }
    const { session, close } = await secure(t, { upstream: target, fastify })
    t.match(await askHttp2(session, { 'x-a': 'a'.repeat(length) }), {
      headers: { ':status': status }, body: status === 200 ? 'ok' : /HEADERS_TOO_LARGE/
    }, `${length} bytes`)
    seen.length = 0
    t.equal((await askHttp2(session, { cookie: cookies })).headers[':status'], 200)
    t.equal(seen[0]?.headers.cookie, cookies.join('; '))
    session.close()
    await close()
  }
})
