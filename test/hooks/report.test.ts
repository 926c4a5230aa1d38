import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import mlflowSecurity from '../../lib/index.js'
import type { MlflowSecurityOptions } from '../../types/index.js'
import { CREATE_RUN, createApp, createServer, listen, request, upgrade } from '../fixtures/server.js'
import type { LogLine } from '../fixtures/server.js'

const CHANNEL = 'fastify-mlflow-security.refused'
const WARN = 40

/** Short, as the paths of sockets have to be. */
function socketPath (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'socket-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  return join(folder, 'socket')
}

const warnings = (lines: LogLine[]) => lines.filter(({ level }) => level === WARN)

t.test('a refusal is one warning with fields, and a message on the diagnostics channel', async t => {
  const messages: unknown[] = []
  const listener = (message: unknown) => { messages.push(message) }
  subscribe(CHANNEL, listener)
  t.teardown(() => unsubscribe(CHANNEL, listener))
  const { app, lines } = createServer(t)
  const port = await listen(app)
  await request(port, 'GET', '/?a', [['Host', 'evil.com']])
  await request(port, 'POST', CREATE_RUN, [['Host', 'localhost'], ['Origin', 'https://evil.com']])
  await request(port, 'GET', '/', [['Host', `${'a'.repeat(3000)}`]])
  await request(port, 'GET', '/', [['Host', 'localhost']])
  const host = { check: 'host', code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', statusCode: 403, host: 'evil.com', origin: undefined, method: 'GET', url: '/?a', remoteAddress: '127.0.0.1', reportOnly: false }
  const origin = { check: 'origin', code: 'FST_MLFLOW_SECURITY_CROSS_ORIGIN', statusCode: 403, host: 'localhost', origin: 'https://evil.com', method: 'POST', url: CREATE_RUN }
  const long = { check: 'host', code: 'FST_MLFLOW_SECURITY_HOST_MALFORMED', statusCode: 400, host: 'a'.repeat(255) }
  t.match(messages, [host, origin, long])
  t.equal(messages.length, 3)
  await request(port, 'POST', `/${'u'.repeat(3000)}`, [['Host', 'localhost'], ['Origin', 'o'.repeat(3000)]])
  t.match(messages.pop(), { url: /^.{255}$/, origin: /^.{255}$/ }, 'values of the request are cut')
  t.match(messages.at(-1), { host: /^.{255}$/ })
  lines.splice(lines.findLastIndex(({ level }) => level === WARN), 1)
  t.match(warnings(lines), [{ ...host, msg: /^Invalid Host header/ }, { ...origin, msg: /^Cross-origin request blocked/ }, long])
  t.equal(warnings(lines).length, 3)
})

t.test('a refusal goes through the error pipeline, with code and status and without a stack', async t => {
  const { app } = createServer(t)
  const seen: unknown[] = []
  app.addHook('onError', async (_request, _reply, error) => { seen.push(error.code, error.statusCode, error.stack) })
  const plain = await app.inject({ url: '/', headers: { host: 'evil.com' } })
  t.match(plain.json(), { statusCode: 403, code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', error: 'Forbidden', message: /^Invalid Host header/ })
  t.same(seen, ['FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 403, undefined])

  const custom = createServer(t)
  custom.app.setErrorHandler((error, _request, reply) => {
    const { code = '', statusCode = 500 } = error instanceof Error ? error as { code?: string, statusCode?: number } : {}
    reply.code(statusCode).type('text/plain').send(`refused: ${code}`)
  })
  const response = await custom.app.inject({ method: 'POST', url: CREATE_RUN, headers: { origin: 'https://evil.com' } })
  t.match(response, { statusCode: 403, body: 'refused: FST_MLFLOW_SECURITY_CROSS_ORIGIN', headers: { 'x-frame-options': 'SAMEORIGIN' } })
})

t.test('report only: the same log line and message, marked, and the request goes on', async t => {
  const messages: unknown[] = []
  const listener = (message: unknown) => { messages.push(message) }
  subscribe(CHANNEL, listener)
  t.teardown(() => unsubscribe(CHANNEL, listener))
  const { app, lines } = createServer(t, { reportOnly: true })
  t.match(await app.inject({ url: '/', headers: { host: 'evil.com' } }), { statusCode: 200, body: 'ok' })
  const posted = await app.inject({ method: 'POST', url: CREATE_RUN, headers: { origin: 'https://evil.com' } })
  t.match(posted, { statusCode: 200, body: 'created', headers: { vary: 'Origin' } })
  t.notOk('access-control-allow-origin' in posted.headers, 'CORS headers stay as they would be')
  t.match(messages, [{ check: 'host', reportOnly: true }, { check: 'origin', reportOnly: true }])
  const marked = { reportOnly: true, msg: /^Report only, the request goes on: / }
  t.match(warnings(lines), [{ msg: /^reportOnly is on/ }, marked, marked])
})

t.test('a client without an address, on a Unix socket, is refused like any other', async t => {
  const { app, lines } = createServer(t)
  const path = socketPath(t)
  await app.listen({ path })
  const status = await new Promise(resolve => {
    get({ socketPath: path, headers: { host: 'evil.com' } }, response => { response.resume(); resolve(response.statusCode) })
  })
  t.equal(status, 403)
  const [line] = warnings(lines)
  t.match(line, { host: 'evil.com', check: 'host' })
  t.notOk(line?.remoteAddress)
})

t.test('what a proxy says of the client is cut at 255 characters', async t => {
  const { app, lines } = createServer(t, {}, { trustProxy: true })
  await app.inject({ url: '/', headers: { host: 'evil.com', 'x-forwarded-for': '9'.repeat(5000) } })
  t.equal(warnings(lines)[0]?.remoteAddress, '9'.repeat(255))
})

t.test('a logger that throws leaves the decision as it is', async t => {
  const stream = { write () { throw new Error('disk full') } }
  const { app } = createServer(t, {}, { logger: { level: 'warn', stream } })
  t.equal((await app.inject({ url: '/', headers: { host: 'evil.com' } })).statusCode, 403)
})

t.test('what is said at start', async t => {
  const cases: Array<[options: MlflowSecurityOptions, warnings: RegExp[]]> = [
    [{}, []],
    [{ allowedHosts: '*' }, [/^allowedHosts .* has "\*": host validation is off/]],
    [{ allowedHosts: '*.com' }, [/^allowedHosts .* has "\*\.com": anyone can register/]],
    [{ corsAllowedOrigins: '*' }, [/^corsAllowedOrigins .* has "\*": every site may call/]],
    [{ corsAllowedOrigins: 'null,https://*.com' }, [/"null": any page/, /"https:\/\/\*\.com": anyone/]],
    [{ allowedHosts: '*.co.uk,*.github.io,*.company.com' }, [/"\*\.co\.uk": anyone can register/, /"\*\.github\.io": anyone/]],
    [{ frameAncestors: 'https://*,https://*.vercel.app' }, [/^frameAncestors has "https:\/\/\*": anyone/, /"https:\/\/\*\.vercel\.app": anyone/]],
    [{ xFrameOptions: 'NONE' }, [/^xFrameOptions \(MLFLOW_SERVER_X_FRAME_OPTIONS\) is NONE without frameAncestors: every site may embed the pages$/]],
    [{ xFrameOptions: 'NONE', frameAncestors: 'https://a.com' }, []],
    [{ corsAllowedOrigins: 'file://' }, [/"file:\/\/": any local file/]],
    [{ reportOnly: true }, [/^reportOnly is on/]],
    [{ healthRoutes: '/health,/version,/*' }, [/^healthRoutes has "\/\*": everything that this route serves is served for every Host$/]],
    [{ disableSecurityMiddleware: true, allowedHosts: '*', reportOnly: true }, [/^Security is disabled by disableSecurityMiddleware \(MLFLOW_SERVER_DISABLE/]]
  ]
  for (const [options, expected] of cases) {
    const { app, lines } = createServer(t, options)
    await app.ready()
    t.equal(warnings(lines).length, expected.length, JSON.stringify(options))
    t.match(warnings(lines).map(({ msg }) => msg), expected)
    const informed = lines.filter(line => 'mlflowSecurity' in line)
    t.equal(informed.length, options.disableSecurityMiddleware === true ? 0 : 1)
    if (informed[0] !== undefined) t.match(informed[0].mlflowSecurity, { xFrameOptions: options.xFrameOptions ?? 'SAMEORIGIN', healthRoutes: ['/health', '/version'] })
  }
})

t.test('listening beyond this machine without host validation warns', async t => {
  const cases: Array<[options: MlflowSecurityOptions, host: string, warned: boolean]> = [
    [{ allowedHosts: '*' }, '0.0.0.0', true],
    [{ disableSecurityMiddleware: true }, '0.0.0.0', true],
    [{ allowedHosts: '*' }, '127.0.0.1', false],
    [{}, '0.0.0.0', false]
  ]
  for (const [options, host, warned] of cases) {
    const { app, lines } = createServer(t, options)
    await app.listen({ port: 0, host })
    const said = warnings(lines).filter(({ msg }) => msg.startsWith('Listening on'))
    const expected = { msg: 'Listening on 0.0.0.0 without host validation', addresses: ['0.0.0.0'] }
    t.match(said, warned ? [expected] : [], `${JSON.stringify(options)} on ${host}`)
    t.equal(said.length, warned ? 1 : 0)
  }
  const { app, lines } = createServer(t, { allowedHosts: '*' })
  await app.listen({ path: socketPath(t) })
  t.notOk(lines.some(({ msg }) => msg.startsWith('Listening on')), 'a Unix socket')
})

t.test('the decorator: frozen settings, and the verdict for a raw upgrade handler', async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { allowedHosts: 'a' })
  t.ok(Object.isFrozen(app.mlflowSecurity))
  t.ok(Object.isFrozen(app.mlflowSecurity.settings))
  const hosts = ['a', 'evil.com'].map(host => ({ method: 'GET', url: '/', headers: { host } }))
  t.same(hosts.map(app.mlflowSecurity.inspect).map(({ allowed }) => allowed), [true, false], 'inspect takes the request alone, also as a callback')
  app.server.on('upgrade', (raw, socket) => {
    const verdict = app.mlflowSecurity.inspect(raw)
    socket.end(`HTTP/1.1 ${verdict.allowed ? 101 : verdict.statusCode} X\r\n\r\n`)
  })
  const port = await listen(app)
  t.equal(await upgrade(port, '/', [['Host', 'a']]), 101)
  t.equal(await upgrade(port, '/', [['Host', 'evil.com']]), 403)
  t.equal(await upgrade(port, '/', [['Host', 'a'], ['Origin', 'https://evil.com']]), 403)
  t.equal(await upgrade(port, '/', [['Host', 'a'], ['Host', 'a']]), 400)
})
