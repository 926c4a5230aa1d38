import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { checkFlags, serveFlags } from '../lib/cli/flags.js'
import { help } from '../lib/cli/help.js'
import { loggerOptions } from '../lib/cli/logger.js'
import { main } from '../lib/cli/main.js'
import { serveOptions } from '../lib/cli/options.js'
import { describeReach } from '../lib/cli/reach.js'
import { createGateway } from '../lib/gateway.js'
import { listening, run, says, start } from './fixtures/programs.js'
import { createApp, request } from './fixtures/server.js'
import { certificate, echo, upstream } from './fixtures/upstream.js'

const WITHOUT = new URL('fixtures/without.mjs', import.meta.url).href
const HOST = ['Host', 'localhost'] as const

t.test('a wrong flag or setting is one clear line and exit code 2', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'cli-'))
  const { cert, key } = await certificate()
  for (const [name, text] of Object.entries({ cert, key, text: 'no PEM' })) writeFileSync(join(folder, name), text)
  const up = ['--upstream', 'http://127.0.0.1:1']
  const taken = createServer()
  await new Promise<void>(resolve => { taken.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => taken.close())
  const takenPort = String((taken.address() as AddressInfo).port)

  const cases: Array<[args: string[], message: RegExp]> = [
    [[], /^upstream \(MLFLOW_TRACKING_URI, --upstream\) is missing\./],
    [['--allowed-host', 'a'], /^Unknown flag --allowed-host\. Did you mean --allowed-hosts\? See --help\.$/],
    [['--allowedHosts', 'a'], /^Unknown flag --allowedHosts\. Did you mean --allowed-hosts\?/],
    [['--cors', 'a'], /^Unknown flag --cors\. Did you mean --cors-allowed-origins\?/],
    [['--upstream-url', 'a'], /^Unknown flag --upstream-url\. Did you mean --upstream\?/],
    [['--bogus'], /^Unknown flag --bogus\. See --help\.$/],
    [['-p', '80'], /^Unknown flag -p\. See --help\.$/],
    [['--__proto__', '80'], /^Unknown flag --__proto__\./],
    [[...up, 'serve'], /^Unexpected "serve"\. See --help\.$/],
    [[...up, '--', 'serve'], /^Unexpected "serve"\./],
    [['--upstream'], /^--upstream needs a value: --upstream URL\. See --help\.$/],
    [['--upstream', '--port', '80'], /^--upstream needs a value/],
    [[...up, '--report-only=yes'], /^--report-only takes no value, and "yes" is one\./],
    [[...up, '--port', '80', '--port', '81'], /^--port is given twice/],
    [[...up, '--port', 'http'], /^--port: "http" is no port\. Allowed: 0 to 65535/],
    [[...up, '--port', '65536'], /^--port: "65536" is no port/],
    [['--upstream', 'http://localhost:5000', '--port', '5000'], /^--upstream.*: http:\/\/localhost:5000 is where this gateway itself is to listen\./],
    [['--upstream', 'http://[::1]', '--port', '80'], /is where this gateway itself is to listen\./],
    [['--upstream', 'https://gw.company.com', '--port', '443', '--host', 'gw.company.com'], /is where this gateway itself is to listen\./],
    [[...up, '--log-level', 'loud'], /^--log-level: "loud" is none\. Allowed: trace, debug, info, warn, error, fatal, silent\.$/],
    [[...up, '--upstream-timeout', '1m'], /^--upstream-timeout: "1m" is no number of seconds\.$/],
    [[...up, '--metrics', 'x'], /^--metrics: "x" is no port/],
    [[...up, '--metrics', 'a b:1'], /^--metrics: "a b" is no address to listen on\. Allowed: 127\.0\.0\.1, 0\.0\.0\.0, \[::1\], a name\.$/],
    [[...up, '--host', ''], /^--host: "" is no address to listen on/],
    [[...up, '--host', '127.0.0.1:80'], /^--host: "127\.0\.0\.1:80" is no address/],
    [[...up, '--upstream-timeout', '-1'], /^--upstream-timeout needs a value/],
    [[...up, '--trust-proxy', ' '], /^--trust-proxy is empty\. It takes addresses and ranges: /],
    [[...up, '--trust-proxy', '1'], /^--trust-proxy: "1" is no address\. It takes addresses and ranges: /],
    [[...up, '--trust-proxy', 'loopback, 12 ,::1'], /^--trust-proxy: " 12 " is no address/],
    [['--upstream', 'http://127.0.0.1:0'], /^upstream.*: "http:\/\/127\.0\.0\.1:0" has port 0, on which no server can be reached\./],
    [[...up, '--static-prefix', '/a/..'], /^staticPrefix/],
    [['--upstream', 'http://localhost.:5000', '--port', '5000'], /is where this gateway itself is to listen/],
    [['--upstream', 'http://x.localhost:5000', '--port', '5000'], /is where this gateway itself is to listen/],
    [[...up, '--cert', join(folder, 'cert')], /^--cert and --key belong together: give both\.$/],
    [[...up, '--key', join(folder, 'key')], /^--cert and --key belong together/],
    [[...up, '--cert', join(folder, 'none'), '--key', join(folder, 'key')], /^--cert: ".*none" cannot be read: ENOENT/],
    [[...up, '--cert', join(folder, 'text'), '--key', join(folder, 'key')], /^--cert and --key: no such PEM: /],
    [[...up, '--upstream-ca', join(folder, 'text')], /^--upstream-ca: no such PEM: /],
    [[...up, '--allowed-hosts', 'https://a'], /^allowedHosts \(MLFLOW_SERVER_ALLOWED_HOSTS, --allowed-hosts\): "https:\/\/a" is a URL/],
    [[...up, '--allowed-hosts', ''], /^allowedHosts.* is an empty list/],
    [[...up, '--x-frame-options', 'ALLOWALL'], /^xFrameOptions \(MLFLOW_SERVER_X_FRAME_OPTIONS, --x-frame-options\): "ALLOWALL" is not allowed/],
    [[...up, '--trust-proxy', 'foo'], /^trustProxy \(--trust-proxy\): "foo" has an invalid IP address/],
    [['check', '--path', '/'], /^check needs --host-header VALUE/],
    [['check', '--frame', 'x'], /^Unknown flag --frame\. Did you mean --frame-ancestors\?/],
    ...([
      [['--static-prefix', 'x'], /^staticPrefix/],
      [['--frame-ancestors', 'x'], /^frameAncestors/],
      [['--upstream', 'ftp://x'], /^upstream/],
      [['--upstream-timeout', 'x'], /^--upstream-timeout/],
      [['--port', 'x'], /^--port/],
      [['--metrics', 'x'], /^--metrics/],
      [['--log-level', 'loud'], /^--log-level/],
      [['--trust-proxy', 'foo'], /^trustProxy/],
      [['--cert', join(folder, 'cert')], /^--cert and --key belong together/],
      [['--upstream-ca', join(folder, 'none')], /^--upstream-ca/],
      [['--path', 'x'], /^--path: "x" does not begin with a slash\.$/]
    ] as const).map(([args, message]): [string[], RegExp] => [['check', '--host-header', 'localhost', ...args], message])
  ]
  for (const [args, message] of cases) await t.rejects(main(args), { message }, args.join(' '))

  for (const [args, expected, message] of [
    [['--bogus'], 2, /^fastify-mlflow-security: Unknown flag --bogus\. See --help\.\n$/],
    [[...up, '--allowed-hosts', 'https://a'], 2, /^fastify-mlflow-security: allowedHosts [^\n]*\n$/],
    // What may be right another time is no wrong setting: systemd tries again.
    [[...up, '--port', takenPort], 1, /^fastify-mlflow-security: listen EADDRINUSE: address already in use 127\.0\.0\.1:\d+\n$/],
    [[...up, '--port', '0', '--metrics', takenPort], 1, /^fastify-mlflow-security: listen EADDRINUSE: [^\n]*\n$/]
  ] as const) {
    const { code, out, err } = await run(t, args)
    t.match(err, message)
    t.equal(code, expected)
    t.notMatch(out, 'Protecting')
  }
})

t.test('what flags become', async t => {
  const serve = (...args: string[]) => serveOptions(parseArgs({ args, options: serveFlags }).values, false)
  t.match(serve(), { listen: { host: '127.0.0.1', port: 8080 }, metrics: undefined })
  t.strictSame(serve().options, {
    allowedHosts: undefined,
    corsAllowedOrigins: undefined,
    disableSecurityMiddleware: undefined,
    frameAncestors: undefined,
    reportOnly: undefined,
    upstream: undefined,
    staticPrefix: undefined,
    upstreamTimeout: undefined,
    upstreamCa: undefined,
    tls: undefined,
    fastify: { logger: false }
  })
  t.match(serve('--cors-allowed-origins', 'https://a', '--disable-security-middleware', '--x-frame-options', 'DENY').options, {
    corsAllowedOrigins: ['https://a'], disableSecurityMiddleware: true, MLFLOW_SERVER_X_FRAME_OPTIONS: 'DENY'
  })
  for (const [text, seconds] of [['0', 0], ['1.25', 1.25], ['60', 60]] as const) t.equal(serve('--upstream-timeout', text).options.upstreamTimeout, seconds)
  for (const text of ['x1', '1.', '.5', '1.x', '1x']) t.throws(() => serve('--upstream-timeout', text), { code: 'FST_MLFLOW_SECURITY_USAGE' }, text)
  for (const [text, port] of [['0', 0], ['65535', 65535]] as const) t.equal(serve('--port', text).listen.port, port)
  for (const text of ['x80', '80x', '655350', '65536', '']) t.throws(() => serve('--port', text), { message: /^--port: /, code: 'FST_MLFLOW_SECURITY_USAGE' }, text)
  for (const [text, host, port] of [['9464', '127.0.0.1', 9464], ['0.0.0.0:1', '0.0.0.0', 1], ['[::1]:2', '::1', 2], ['gw.company.com:3', 'gw.company.com', 3]] as const) {
    t.strictSame(serve('--metrics', text).metrics, { host, port })
  }
  for (const [text, host] of [['::', '::'], ['[::1]', '::1'], ['::1', '::1'], ['localhost', 'localhost']] as const) t.equal(serve('--host', text).listen.host, host)
})

t.test('--help and --version', async t => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  for (const args of [['--help'], ['-h'], ['check', '--help']]) t.same(await run(t, args), { code: 0, out: help(), err: '' })
  for (const args of [['--version'], ['check', '--version']]) t.same(await run(t, args), { code: 0, out: `${version}\n`, err: '' })
  for (const flag of [...Object.keys(serveFlags), ...Object.keys(checkFlags)]) t.match(help(), `  --${flag}`)
  for (const line of help().split('\n')) t.ok(line.length <= 100, line)
})

t.test('it starts, says what it does in JSON lines, protects, and ends when its requests have', async t => {
  const target = await upstream(t, (request, response) => {
    if (request.url === '/slow') setTimeout(() => response.end('slow'), 1000)
    else response.end(`${request.method} ${request.url}`)
  })
  const { child, port, said } = await listening(t, ['--allowed-hosts', 'localhost', '--allowed-hosts', 'a.com,b.com', '--frame-ancestors', 'https://nb'], {
    MLFLOW_TRACKING_URI: target, MLFLOW_SERVER_ALLOWED_HOSTS: 'env.com', MLFLOW_SERVER_X_FRAME_OPTIONS: 'DENY'
  })
  const lines = said.out.trim().split('\n').map(line => JSON.parse(line))
  t.match(lines, [
    { mlflowSecurity: { allowedHosts: ['localhost', 'a.com', 'b.com'], xFrameOptions: 'DENY', frameAncestors: ['https://nb'] } },
    { msg: `Protecting ${target} at http://127.0.0.1:${port}` }
  ])
  t.match(await request(port, 'GET', '/x', [HOST]), { status: 200, body: 'GET /x', headers: { 'x-frame-options': 'DENY' } })
  t.equal((await request(port, 'GET', '/x', [['Host', 'env.com']])).status, 403, 'a flag comes before its variable')

  const socket = connect(port, '127.0.0.1')
  socket.setEncoding('latin1').write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await says({ child, said }, /\/slow/)
  child.kill('SIGTERM')
  const [answer] = await once(socket, 'data')
  t.match(answer, /^HTTP\/1\.1 200 OK[^]*slow/, 'a running request finishes')
  t.same(await once(child, 'close'), [0, null])
  t.equal(said.err, '')
})

t.test('open WebSockets do not keep it from ending', async t => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  t.teardown(() => sockets.close())
  const { child, port } = await listening(t, ['--upstream', `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`])
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
  await once(socket, 'open')
  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null])
})

t.test('connections that were never used do not keep it from ending', async t => {
  const { child, port } = await listening(t, ['--upstream', await echo(t), '--host', '::1'])
  const socket = connect(port, '::1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  await request(port, 'GET', '/', [HOST]).catch(() => {})
  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null])
})

t.test('an upstream elsewhere may have the same port', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const started = start(t, ['--upstream', `http://mlflow.internal:${port}`, '--port', String(port)])
  await says(started, /Protecting/)
  t.match(started.said.out, `Protecting http://mlflow.internal:${port} at http://127.0.0.1:${port}`)
})

t.test('SIGINT ends it as well; the environment alone is enough', async t => {
  const { child, port } = await listening(t, ['--log-level', 'info'], { MLFLOW_TRACKING_URI: await echo(t), MLFLOW_SERVER_ALLOWED_HOSTS: 'env.com' })
  t.equal((await request(port, 'GET', '/', [['Host', 'env.com']])).status, 200)
  t.equal((await request(port, 'GET', '/', [HOST])).status, 403)
  child.kill('SIGINT')
  t.same(await once(child, 'close'), [0, null])
})

t.test('an error that nobody has caught ends it with 1', async t => {
  const script = "process.once('SIGUSR2', () => { throw new Error('unforeseen') })"
  const { child, said } = await listening(t, ['--upstream', await echo(t)], {}, ['--import', `data:text/javascript,${encodeURIComponent(script)}`])
  child.kill('SIGUSR2')
  t.same(await once(child, 'close'), [1, null])
  t.match(said.out, /"level":60.*unforeseen/)
})

t.test('https of its own, a report only, a static prefix, a trusted proxy', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'cli-'))
  const tls = await certificate()
  writeFileSync(join(folder, 'cert.pem'), tls.cert)
  writeFileSync(join(folder, 'key.pem'), tls.key)
  const secure = await listening(t, [
    '--upstream', await echo(t), '--cert', join(folder, 'cert.pem'), '--key', join(folder, 'key.pem'), '--upstream-ca', join(folder, 'cert.pem'),
    '--report-only', '--static-prefix', '/mlflow', '--trust-proxy', '127.0.0.1', '--trust-proxy', '10.0.0.0/8', '--upstream-timeout', '60'
  ])
  const { Agent, fetch } = await import('undici')
  const dispatcher = new Agent({ connect: { ca: tls.cert } })
  t.teardown(() => dispatcher.destroy())
  const response = await fetch(`https://127.0.0.1:${secure.port}/x`, { dispatcher, headers: { 'x-forwarded-host': 'evil.com', 'x-forwarded-for': '9.9.9.9' } })
  t.equal(response.status, 200)
  t.match(secure.said.out, /Protecting http:\S+ at https:\/\/127\.0\.0\.1/)
  t.match(secure.said.out, /Report only, the request goes on: [^\n]*X-Forwarded-Host/)
  t.match(secure.said.out, '"healthRoutes":["/mlflow/health","/mlflow/version"]')
  t.match(secure.said.out, '"remoteAddress":"9.9.9.9"')
})

t.test('beyond this machine, on the default list, it says which addresses people can use', async t => {
  const target = await echo(t)
  const open = await listening(t, ['--upstream', target, '--host', '0.0.0.0'])
  await says(open, /People can use/)
  t.match(open.said.out, new RegExp(`People can use http://localhost:${open.port}.*--allowed-hosts \\\\"@default`))
  const explicit = await listening(t, ['--upstream', target, '--host', '0.0.0.0', '--allowed-hosts', 'localhost'])
  t.equal((await request(explicit.port, 'GET', '/', [HOST])).status, 200)
  t.notMatch(explicit.said.out, 'People can use')
})

t.test('what it says of addresses', async t => {
  const { app } = createApp(t)
  t.equal(describeReach(app, 'http'), undefined, 'not listening')
  const gateway = createGateway({ upstream: 'http://127.0.0.1:1' })
  t.teardown(() => gateway.close())
  await gateway.ready()
  const reach = (address: string) => {
    gateway.server.address = () => ({ address, port: 8080, family: '' })
    return describeReach(gateway, 'https')
  }
  t.equal(reach('127.0.0.1'), undefined)
  t.match(reach('192.168.1.5'), /^People can use https:\/\/192\.168\.1\.5:8080\. Other names.*: --allowed-hosts "@default,?[^"]*"( and the name)?$/)
  t.match(reach('203.0.113.5'), /^People can use no address of this machine\..*"@default,203\.0\.113\.5/)
  t.match(reach('fd00::5'), /^People can use https:\/\/\[fd00::5\]:8080\./)
  t.match(reach('::'), /^People can use https:\/\/localhost:8080/)
  t.match(describeReach(gateway, 'https', 'localhost'), /--allowed-hosts "@default,(?!localhost)/)
  gateway.server.address = () => ({ address: '10.0.0.1', port: 80, family: '' })
  t.match(describeReach(gateway, 'http', 'localhost'), /^People can use http:\/\/10\.0\.0\.1:80, http:\/\/localhost:80\..*"@default,mlflow\.company\.com"$/)
  gateway.server.address = () => '/run/gateway.sock'
  t.equal(describeReach(gateway, 'http'), undefined)
})

t.test('--metrics serves figures on a port of its own, protected as well', async t => {
  const { port, said } = await listening(t, ['--upstream', await echo(t), '--metrics', '0', '--allowed-hosts', 'mlflow.company.com'])
  const own = Number(/Figures for Prometheus: http:\/\/127\.0\.0\.1:(\d+)\/metrics/.exec(said.out)?.[1])
  const company = ['Host', 'mlflow.company.com'] as const
  for (const path of ['/a', '/b']) await request(port, 'GET', path, [company])
  await request(port, 'POST', '/a', [company, ['Origin', 'https://evil.com']])
  await request(port, 'GET', '/a', [['Host', 'evil.com']])
  await request(port, 'GET', '//x', [company])
  const { status, headers, body } = await request(own, 'GET', '/metrics', [company])
  t.equal(status, 200)
  t.match(headers['content-type'], 'text/plain; version=0.0.4')
  for (const line of [
    'mlflow_gateway_requests_total{method="GET",status="200"} 2',
    'mlflow_gateway_requests_total{method="POST",status="403"} 1',
    'mlflow_gateway_refusals_total{code="FST_MLFLOW_SECURITY_CROSS_ORIGIN",report_only="false"} 1',
    'mlflow_gateway_refusals_total{code="FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED",report_only="false"} 1',
    'mlflow_gateway_upstream_seconds_count 2',
    'process_resident_memory_bytes'
  ]) t.match(body, line)
  t.equal((await request(own, 'GET', '/metrics', [['Host', '127.0.0.1']])).status, 200, 'by address, though the list has none')
  t.equal((await request(own, 'GET', '/metrics', [['Host', 'evil.com']])).status, 403)
  t.equal((await request(port, 'GET', '/metrics', [company])).body, 'GET /metrics', 'the path itself is the upstream\'s')
  const elsewhere = await listening(t, ['--upstream', await echo(t), '--metrics', '[::1]:0', '--report-only'])
  t.match(elsewhere.said.out, /Figures for Prometheus: http:\/\/\[::1\]:\d+\/metrics/)
  const figures = /Figures for Prometheus: (\S+)"/.exec(elsewhere.said.out)?.[1] ?? ''
  t.equal((await fetch(figures, { headers: { 'sec-fetch-site': 'none' } })).status, 200)
  const { statusCode } = await new Promise<IncomingMessage>(resolve => { get(figures, { headers: { host: 'mlflow-gateway:9464' } }, resolve) })
  t.equal(statusCode, 200, 'a report only there as well')
})

t.test('a package that is missing is named with the line that installs it', async t => {
  for (const name of ['@fastify/http-proxy', 'undici', 'close-with-grace', 'prom-client']) {
    const { code, err } = await run(t, ['--upstream', 'http://127.0.0.1:1', '--port', '0', '--metrics', '0'], {}, ['--import', `${WITHOUT}?${name}`])
    t.equal(err, `fastify-mlflow-security: The gateway needs ${name}, which is not installed: npm install ${name} (all that it needs: npm install --include=optional)\n`)
    t.equal(code, 2)
  }
})

t.test('what is wrong with the program itself shows its stack', async t => {
  const { code, err } = await run(t, ['--upstream', 'http://127.0.0.1:1'], {}, ['--import', `${WITHOUT}?close-with-grace&broken`])
  t.match(err, /^Error: broken\n +at /)
  t.equal(code, 2)
})

t.test('readable lines on a terminal, where pino-pretty is installed', async t => {
  t.match(loggerOptions(undefined, true), { level: 'info', transport: { target: 'pino-pretty' } })
  t.same(loggerOptions('debug', false), { level: 'debug' })
  const isTerminal = 'process.stdout.isTTY = true'
  const { said } = await listening(t, ['--upstream', await echo(t)], {}, [
    '--import', `${WITHOUT}?pino-pretty`, '--import', `data:text/javascript,${encodeURIComponent(isTerminal)}`
  ])
  t.match(said.out, /^\{"level":30/)
})
