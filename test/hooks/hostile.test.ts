import { connect as connectHttp2 } from 'node:http2'
import type { IncomingHttpHeaders } from 'node:http2'
import { connect } from 'node:net'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { ended, startNode } from '../fixtures/programs.js'
import { CREATE_RUN, createApp, createServer, listen, parse, request, send } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'

/** Node's own parser resets the stream. */
const RESET = 0
const CLOSE = 'Connection: close\r\n'
const POST = `POST ${CREATE_RUN} HTTP/1.1\r\n`

t.test('what smuggles, doubles, folds, overflows or garbles gets 4xx, and the next good request is served', async t => {
  const { app, lines } = createServer(t)
  const created: string[] = []
  app.addHook('preHandler', async request => { if (request.method === 'POST') created.push(request.host) })
  const port = await listen(app)
  const cases: Array<[name: string, text: string]> = [
    ['Content-Length and Transfer-Encoding', `${POST}Host: evil.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n${CLOSE}\r\n0\r\n\r\n`],
    ['two Content-Lengths', `${POST}Host: localhost\r\nContent-Length: 0\r\nContent-Length: 5\r\n${CLOSE}\r\n`],
    ['a smuggled request in a body', `${POST}Host: evil.com\r\nContent-Length: 44\r\n${CLOSE}\r\nGET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n\r\n`],
    ['white space before the colon of Host', `GET / HTTP/1.1\r\nHost : localhost\r\n${CLOSE}\r\n`],
    ['Host with white space before its name', `GET / HTTP/1.1\r\nAccept: */*\r\n Host: localhost\r\n${CLOSE}\r\n`],
    ['a folded Host', `GET / HTTP/1.1\r\nHost: localhost\r\n evil.com\r\n${CLOSE}\r\n`],
    ['a Host in another line ending', `GET / HTTP/1.1\r\nHost: evil.com\rHost: localhost\r\n${CLOSE}\r\n`],
    ['two Hosts', `GET / HTTP/1.1\r\nHost: localhost\r\nHOST: localhost\r\n${CLOSE}\r\n`],
    ['three Hosts', `GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nhost: evil.com\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['a Host with NUL', `GET / HTTP/1.1\r\nHost: localhost\0.evil.com\r\n${CLOSE}\r\n`],
    ['a Host in UTF-8', `GET / HTTP/1.1\r\nHost: löcalhost\r\n${CLOSE}\r\n`],
    ['a Host with a full-width dot', `GET / HTTP/1.1\r\nHost: localhost。\r\n${CLOSE}\r\n`],
    ['a Host of control characters', `GET / HTTP/1.1\r\nHost: local\x01host\r\n${CLOSE}\r\n`],
    ['a Host of 10,000 characters', `GET / HTTP/1.1\r\nHost: ${'a'.repeat(10_000)}\r\n${CLOSE}\r\n`],
    ['a Host of 10,000 labels', `GET / HTTP/1.1\r\nHost: ${'a.'.repeat(5000)}localhost\r\n${CLOSE}\r\n`],
    ['a Host beyond the parser', `GET / HTTP/1.1\r\nHost: ${'a'.repeat(100_000)}\r\n${CLOSE}\r\n`],
    ['absolute form', `GET http://evil.com/ HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['absolute form with userinfo', `GET http://localhost@evil.com/ HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['absolute form of another scheme', `GET ftp://evil.com/ HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['a relative target', `GET evil.com HTTP/1.1\r\nHost: localhost\r\n${CLOSE}\r\n`],
    ['OPTIONS * of a foreign host', `OPTIONS * HTTP/1.1\r\nHost: evil.com\r\n${CLOSE}\r\n`],
    ['a method in lower case', `post ${CREATE_RUN} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.com\r\n${CLOSE}\r\n`],
    ['two Origins', `${POST}Host: localhost\r\nOrigin: http://localhost\r\nOrigin: https://evil.com\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['a folded Origin', `${POST}Host: localhost\r\nOrigin: http://localhost\r\n https://evil.com\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['an Origin of 10,000 characters', `${POST}Host: localhost\r\nOrigin: http://${'a'.repeat(10_000)}\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['an Origin with NUL', `${POST}Host: localhost\r\nOrigin: http://localhost\0\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['two values of Sec-Fetch-Site', `${POST}Host: localhost\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['a method override', `${POST}Host: localhost\r\nOrigin: https://evil.com\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n${CLOSE}\r\n`],
    ['an upgrade to h2c', 'GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.com\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n'],
    ['an upgrade with an Origin that is no URL', 'GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n'],
    ['an upgrade with a Host that is none', 'GET / HTTP/1.1\r\nHost: [\r\nOrigin: http://localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n'],
    ['an upgrade of a request that has a body', `${POST}Host: localhost\r\nOrigin: https://evil.com\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nContent-Length: 3\r\n\r\nabc`],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']
  ]
  for (const [name, text] of cases) {
    const { status } = parse(await send(port, text))
    t.ok(status >= 400 && status < 500, `${name}: ${status}`)
    t.equal((await request(port, 'GET', '/', [['Host', 'localhost']])).status, 200, `${name}: the next request`)
  }
  t.same(created, [], 'nothing came through')
  t.notOk(lines.some(({ level }) => level >= 50), 'and nothing went wrong')
})

t.test('CONNECT gets nothing', async t => {
  const { app } = createServer(t)
  const port = await listen(app)
  t.equal(await send(port, 'CONNECT evil.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n'), '')
  t.equal((await request(port, 'GET', '/', [['Host', 'localhost']])).status, 200)
})

t.test('HTTP/2: hosts and origins that garble or contradict', async t => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  app.register(mlflowSecurity)
  app.all('/', (_request, reply) => { reply.send('ok') })
  const session = connectHttp2(await app.listen({ port: 0, host: '127.0.0.1' }))
  t.teardown(() => session.close())
  const ask = (headers: Record<string, string | string[]>) => new Promise<number>(resolve => {
    const stream = session.request({ ':path': '/', ...headers })
    stream.on('response', (headers: IncomingHttpHeaders & { ':status'?: number }) => resolve(headers[':status'] ?? 0))
    stream.on('error', () => resolve(RESET))
    stream.resume().end()
  })
  const local = { ':authority': 'localhost' }
  const cases: Array<[name: string, headers: Record<string, string | string[]>, status: number]> = [
    ['userinfo', { ':authority': 'localhost@evil.com' }, 400],
    ['an escape', { ':authority': 'localhost%00.evil.com' }, 400],
    ['two names in one', { ':authority': 'localhost,evil.com' }, 400],
    ['10,000 characters', { ':authority': 'a'.repeat(10_000) }, 400],
    ['a host that says otherwise', { ...local, host: 'evil.com' }, 400],
    ['an Origin of another site', { ...local, ':method': 'POST', origin: 'https://evil.com' }, 403],
    ['an Origin of two', { ...local, ':method': 'POST', origin: 'http://localhost, https://evil.com' }, 403],
    ['a path that is a URL', { ...local, ':path': 'http://evil.com/' }, RESET]
  ]
  for (const [name, headers, status] of cases) {
    const answer = await ask(headers)
    // Node 22 resets the stream of some authorities itself.
    t.ok(answer === status || (status === 400 && answer === RESET), `${name}: ${answer}`)
    t.equal(await ask(local), 200, `${name}: the next request`)
  }
})

t.test('what throws around it leaves the decision as it is: refused stays refused', async t => {
  const thrown: unknown[] = []
  const onThrown = (error: unknown) => { thrown.push(error) }
  process.on('uncaughtException', onThrown)
  const subscriber = () => { throw new Error('subscriber') }
  subscribe('fastify-mlflow-security.refused', subscriber)
  t.teardown(() => {
    unsubscribe('fastify-mlflow-security.refused', subscriber)
    process.off('uncaughtException', onThrown)
  })
  const { app } = createServer(t, {}, { logger: { level: 'warn', stream: { write () { throw new Error('logger') } } } })
  app.setErrorHandler(() => { throw new Error('error handler') })
  app.addHook('onError', async () => { throw new Error('onError') })
  for (const headers of [{ host: 'evil.com' }, { host: 'a b' }]) {
    const response = await app.inject({ url: '/', headers })
    t.ok(response.statusCode >= 400, String(response.statusCode))
    t.not(response.body, 'ok')
  }
  t.equal((await app.inject('/')).body, 'ok')
  await until(() => thrown.length > 1)
  t.match(thrown, [{ message: 'subscriber' }, { message: 'subscriber' }], "Node reports a subscriber's error outside of the request")
})

t.test('a million distinct Hosts and Origins leave nothing behind', async t => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { allowedHosts: '*.company.com', corsAllowedOrigins: 'https://*.company.com' })
  const { inspect } = app.mlflowSecurity
  const flood = (from: number) => {
    for (let i = from; i < from + 500_000; i++) {
      inspect({ method: 'POST', url: '/', headers: { host: `h${i}.company.com`, origin: `https://o${i}.company.com` } })
      inspect({ method: 'POST', url: '/', headers: { host: `h${i}.evil.com`, origin: `https://o${i}.evil.com` } })
    }
  }
  flood(0)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  flood(500_000)
  collectGarbage()
  const growth = process.memoryUsage().heapUsed - before
  t.ok(growth < 5_000_000, `the heap grew by ${growth} bytes`)
})

t.test('a thousand X-Forwarded-Host of 15 kB each leave nothing behind', { timeout: 120_000 }, async t => {
  const program = fileURLToPath(new URL('../fixtures/long-headers.ts', import.meta.url))
  const { code, out, err } = await ended(startNode(t, [...process.execArgv, '--expose-gc', program]))
  t.equal(code, 0, err)
  t.match(JSON.parse(out), { allowed: 940, refused: 100 })
  const { growth } = JSON.parse(out)
  t.ok(growth < 5_000_000, `the heap grew by ${growth} bytes`)
})

t.test('a server that reads few headers is not asked beyond them: the Origin and a second Host might be there', async t => {
  const { app } = createServer(t)
  app.server.maxHeadersCount = 10
  const port = await listen(app)
  const headers = (count: number) => Array.from({ length: count }, (_, i) => [`X-${i}`, '1'] as const)
  for (const count of [5, 8, 40, 200]) {
    const { status } = await request(port, 'POST', CREATE_RUN, [['Host', 'localhost'], ...headers(count), ['Origin', 'https://evil.com']])
    // Newer Node answers 431 itself.
    t.ok([400, 403, 431].includes(status), `an Origin after ${count} headers: ${status}`)
    const host = await request(port, 'GET', '/', [['Host', 'localhost'], ...headers(count), ['Host', 'evil.com']])
    t.ok([400, 431].includes(host.status), `a Host after ${count} headers: ${host.status}`)
  }
  t.equal((await request(port, 'POST', CREATE_RUN, [['Host', 'localhost'], ...headers(5)])).status, 200)
})

t.test('ten thousand aborted sockets: the next request is served, and the server closes', { timeout: 120_000 }, async t => {
  const { app } = createServer(t)
  const port = await listen(app)
  const abort = (text: string) => new Promise<void>(resolve => {
    const socket = connect(port, '127.0.0.1', () => { socket.write(text, () => { socket.resetAndDestroy() }) })
    socket.on('error', () => {}).on('close', () => resolve())
  })
  const texts = ['GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n', `${POST}Host: localhost\r\nContent-Length: 100\r\n\r\n`, 'GET / HT']
  for (let i = 0; i < 10_000; i += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, j) => abort(texts[(i + j) % texts.length] ?? '')))
  }
  t.equal((await request(port, 'GET', '/', [['Host', 'localhost']])).status, 200)
  await app.close()
  t.pass('closed')
})
