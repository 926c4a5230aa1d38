import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import t from 'tap'
import { checkFlags, serveFlags } from '../../lib/cli/flags.js'
import { help } from '../../lib/cli/help.js'
import { ignoredVariables } from '../../lib/cli/ignored-variables.js'
import { loadPretty, logOptions, parseLevel, withoutRequests } from '../../lib/cli/logger.js'
import { refuseLoop } from '../../lib/cli/upstream-loop.js'
import { main } from '../../lib/cli/main.js'
import { serveOptions } from '../../lib/cli/options.js'
import { ownAddresses } from '../../lib/cli/reach.js'
import { certificate } from '../fixtures/upstream.js'

t.test('a wrong flag or setting is one clear line', async t => {
  const { cert, key } = certificate()
  const folder = t.testdir({ cert, key, text: 'no PEM' })
  const up = ['--upstream', 'http://127.0.0.1:1']

  const cases: Array<[args: string[], message: RegExp]> = [
    [[], /^upstream \(MLFLOW_TRACKING_URI, --upstream\) is missing\./],
    [['--allowed-host', 'a'], /^Unknown flag --allowed-host\. Did you mean --allowed-hosts\? See --help\.$/],
    [['--allowedHosts', 'a'], /^Unknown flag --allowedHosts\. Did you mean --allowed-hosts\?/],
    [['--allowedHost', 'a'], /^Unknown flag --allowedHost\. Did you mean --allowed-hosts\? See --help\.$/],
    [['--alowed-hosts', 'a'], /^Unknown flag --alowed-hosts\. Did you mean --allowed-hosts\? See --help\.$/],
    [['--alowd-hosts', 'a'], /Did you mean --allowed-hosts\?/],
    [['--prot', '80'], /^Unknown flag --prot\. See --help\.$/],
    [['--pirt', '80'], /^Unknown flag --pirt\. Did you mean --port\? See --help\.$/],
    [['--shutdown-timeuot', '1'], /Did you mean --shutdown-timeout\?/],
    [['--po', '80'], /^Unknown flag --po\. See --help\.$/],
    [['--cors', 'a'], /^Unknown flag --cors\. Did you mean --cors-allowed-origins\?/],
    [['--upstream-url', 'a'], /^Unknown flag --upstream-url\. Did you mean --upstream\?/],
    [['--bogus'], /^Unknown flag --bogus\. See --help\.$/],
    [['-p', '80'], /^Unknown flag -p\. See --help\.$/],
    [['--__proto__', '80'], /^Unknown flag --__proto__\./],
    [[...up, 'serve'], /^Unexpected "serve"\. See --help\.$/],
    [['serve'], /^Unexpected "serve"\. See --help\.$/],
    [[...up, '--', 'mlflow', 'server'], /^--upstream http:\/\/127\.0\.0\.1:1 and -- mlflow do not go together: /],
    [[...up, '--callback-paths', '/api/x'], /^callbackPaths \(--callback-paths\): "\/api\/x" is MLflow's API/],
    [['--'], /^There is no command after --\. Write one: -- mlflow server\.$/],
    [['check', '--host-header', 'a', '--', 'serve'], /^"serve" does not say where the port goes: write \{port\} there/],
    [['--static-prefix', '/a', '--', 'mlflow', 'server', '--static-prefix', '/b'], /^--static-prefix: mlflow has "\/b", but the gateway has "\/a"\. Leave out the gateway's\.$/],
    [[...up, '--drain-delay', 'x'], /^--drain-delay: "x" is not a number of seconds\.$/],
    [[...up, '--shutdown-timeout', '86401'], /^--shutdown-timeout: "86401" is too long\. Allowed: seconds, at most 86400\.$/],
    [[...up, '--keep-alive-timeout', ''], /^--keep-alive-timeout: "" is not a number of seconds\.$/],
    [[...up, '--max-header-size', '4095'], /^--max-header-size: "4095" is not allowed\. Allowed: bytes, 4096 to 1048576\.$/],
    [[...up, '--max-header-size', '1048577'], /^--max-header-size: "1048577" is not allowed/],
    [[...up, '--max-header-size', '16k'], /^--max-header-size: "16k" is not allowed/],
    [[...up, '--health-routes', 'health'], /^--health-routes: "health" is not a path\. Allowed: paths that begin with a slash, below --static-prefix/],
    [[...up, '--health-routes', '/he lth'], /^--health-routes: "\/he lth" is not a path/],
    [['--upstream'], /^--upstream needs a value: --upstream URL\. See --help\.$/],
    [['--upstream', '--port', '80'], /^--upstream needs a value/],
    [[...up, '--report-only=yes'], /^--report-only takes no value, but has "yes"\./],
    [[...up, '--port', '80', '--port', '81'], /^--port is given twice/],
    [[...up, '--port', 'http'], /^--port: "http" is not a port\. Allowed: 0 to 65535/],
    [[...up, '--port', '65536'], /^--port: "65536" is not a port/],
    [[...up, '--log-level', 'loud'], /^--log-level: "loud" is not a level\. Allowed: trace, debug, info, warn, error, fatal, silent\.$/],
    [[...up, '--upstream-timeout', '1m'], /^--upstream-timeout: "1m" is not a number of seconds\.$/],
    [[...up, '--metrics', 'x'], /^--metrics: "x" is not a port/],
    [[...up, '--metrics', '8080'], /^--metrics: 8080 is the gateway's own --port \(default 8080\)\. Choose another port for one of them\.$/],
    [[...up, '--host', '0.0.0.0', '--port', '9', '--metrics', '9'], /^--metrics: 9 is the gateway's own --port\. /],
    [[...up, '--host', 'localhost', '--port', '9', '--metrics', '9'], /^--metrics: 9 is/],
    [[...up, '--host', '::', '--port', '9', '--metrics', '9'], /^--metrics: 9 is/],
    [[...up, '--metrics', 'a b:1'], /^--metrics: "a b" is not an address to listen on\. Allowed: 127\.0\.0\.1, 0\.0\.0\.0, \[::1\], a name\.$/],
    [[...up, '--host', ''], /^--host: "" is not an address to listen on/],
    [[...up, '--host', '127.0.0.1:80'], /^--host: "127\.0\.0\.1:80" is not an address/],
    [[...up, '--upstream-timeout', '-1'], /^--upstream-timeout needs a value/],
    [[...up, '--trust-proxy', ' '], /^--trust-proxy is empty\. It takes addresses and ranges: /],
    [[...up, '--trust-proxy', '1'], /^--trust-proxy: "1" is not an address\. It takes addresses and ranges: /],
    [[...up, '--trust-proxy', 'loopback, 12 ,::1'], /^--trust-proxy: " 12 " is not an address/],
    [['--upstream', 'http://127.0.0.1:0'], /^upstream.*: "http:\/\/127\.0\.0\.1:0" has port 0, on which no server can be reached\./],
    [[...up, '--static-prefix', '/a/..'], /^staticPrefix/],
    [['--upstream', 'http://localhost:5000', '--port', '5000'], /^--upstream \(MLFLOW_TRACKING_URI\): http:\/\/localhost:5000 is the address where this gateway itself is to listen\. Start the MLflow server on another port, and name that one, or choose another --port\.$/],
    [['--upstream', 'https://gw.company.com', '--port', '443', '--host', 'gw.company.com'], /is the address where this gateway itself is to listen\./],
    [[...up, '--cert', join(folder, 'cert')], /^--cert and --key belong together: give both\.$/],
    [[...up, '--key', join(folder, 'key')], /^--cert and --key belong together/],
    [[...up, '--cert', join(folder, 'none'), '--key', join(folder, 'key')], /^--cert: ".*none" cannot be read: ENOENT/],
    [[...up, '--cert', join(folder, 'cert'), '--key', join(folder, 'none')], /^--key: ".*none" cannot be read: ENOENT/],
    [[...up, '--cert', join(folder, 'text'), '--key', join(folder, 'key')], /^--cert and --key: this is not a certificate and its key in PEM, the text form that begins with -----BEGIN: error:/],
    [[...up, '--upstream-ca', join(folder, 'text')], /^--upstream-ca: this is not a certificate in PEM, the text form that begins with -----BEGIN: error:/],
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
})

t.test('an upstream that is the gateway itself is told from one elsewhere', async t => {
  const own = ownAddresses().map(({ address, family }) => family === 'IPv6' ? `[${address}]` : address)
  for (const name of ['localhost', 'LOCALHOST', 'localhost.', 'x.localhost', '127.8.0.1', '[::1]', '0.0.0.0', '[::]', 'gw.company.com', hostname(), ...own]) {
    for (const [upstream, port] of [[`http://${name}:5000`, 5000], [`http://${name}`, 80], [`https://${name}`, 443]] as const) {
      t.throws(() => refuseLoop(upstream, { host: 'GW.company.com', port }), { code: 'FST_MLFLOW_SECURITY_USAGE' }, upstream)
      t.doesNotThrow(() => refuseLoop(upstream, { host: 'GW.company.com', port: port + 1 }), upstream)
    }
  }
  for (const name of ['mlflow.internal', 'gw.company.com.internal', 'localhost.company.com', '198.51.100.7', '[2001:db8::7]']) {
    t.doesNotThrow(() => refuseLoop(`http://${name}:5000`, { host: 'gw.company.com', port: 5000 }), name)
  }
})

t.test('a variable that a flag overrules is said to be ignored', async t => {
  const hosts = { MLFLOW_SERVER_ALLOWED_HOSTS: 'a.com, b.com' }
  for (const [values, environment, lines] of [
    [{ 'allowed-hosts': ['c.com'] }, hosts, ['--allowed-hosts is used, MLFLOW_SERVER_ALLOWED_HOSTS is ignored']],
    [{ 'allowed-hosts': ['a.com', 'b.com'] }, hosts, []],
    [{}, hosts, []],
    [{ 'allowed-hosts': ['c.com'] }, { MLFLOW_SERVER_ALLOWED_HOSTS: '' }, []],
    [{ 'allowed-hosts': ['c.com'] }, {}, []],
    [{ 'x-frame-options': 'deny' }, { MLFLOW_SERVER_X_FRAME_OPTIONS: 'DENY' }, []],
    [{ 'disable-security-middleware': true }, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: '1' }, []],
    [{ 'disable-security-middleware': true }, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: 'false' }, [
      '--disable-security-middleware is used, MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE is ignored'
    ]]
  ] as const) t.strictSame(ignoredVariables(values, environment), lines, JSON.stringify([values, environment]))
})

t.test('what flags become', async t => {
  const serve = (...args: string[]) => serveOptions(parseArgs({ args, options: serveFlags }).values, { logger: false })
  t.match(serve(), { listen: { host: '127.0.0.1', port: 8080 }, metrics: undefined })
  for (const args of [['--metrics', '10.0.0.1:9'], ['--metrics', '[::1]:9'], ['--metrics', '10'], ['--host', '0.0.0.0', '--metrics', '[::1]:9']]) {
    t.doesNotThrow(() => serve('--port', '9', ...args), `${args.join(' ')} is another address`)
  }
  t.doesNotThrow(() => serve('--port', '0', '--metrics', '0'))
  t.strictSame(serve().options, {
    upstream: undefined,
    staticPrefix: undefined,
    callbackPaths: undefined,
    upstreamTimeout: undefined,
    upstreamCa: undefined,
    tls: undefined,
    fastify: { logger: false, keepAliveTimeout: 72_000 }
  })
  t.strictSame(serve('--callback-paths', '/a,/b', '--callback-paths', '/c').options.callbackPaths, ['/a,/b', '/c'])
  t.match(serve(), { certificate: undefined, drainDelay: 0, shutdownTimeout: 20_000 })
  t.match(serve('--drain-delay', '1.5', '--shutdown-timeout', '0'), { drainDelay: 1500, shutdownTimeout: 0 })
  t.match(serve('--keep-alive-timeout', '5', '--max-header-size', '65536').options.fastify, { keepAliveTimeout: 5000, http: { maxHeaderSize: 65536 } })
  for (const [args, routes] of [
    [['--health-routes', '/ready, /live'], ['/ready', '/live']],
    [['--health-routes', '/a', '--health-routes', '/b,'], ['/a', '/b']],
    [['--health-routes', ''], []],
    [['--health-routes', '/health,/ml/version,/mlx', '--static-prefix', '/ml'], ['/ml/health', '/ml/version', '/ml/mlx']]
  ] as const) t.strictSame(serve(...args).options.healthRoutes, routes)
  t.match(serve('--cors-allowed-origins', 'https://a', '--disable-security-middleware', '--x-frame-options', 'DENY').options, {
    corsAllowedOrigins: ['https://a'], disableSecurityMiddleware: true, xFrameOptions: 'DENY'
  })
  t.strictSame(serve('--trust-proxy', '10.0.0.1', '--trust-proxy', '127.0.0.0/8,loopback').options.fastify, { logger: false, trustProxy: '10.0.0.1,127.0.0.0/8,loopback', keepAliveTimeout: 72_000 })
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
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const page = readFileSync(new URL('../fixtures/help.txt', import.meta.url), 'utf8')
  for (const [args, text] of [
    [['--help'], page], [['-h'], page], [['check', '--help'], page], [['--help', '--version'], page],
    [['--version'], `${version}\n`], [['check', '--version'], `${version}\n`]
  ] as const) {
    let out = ''
    t.equal(await main([...args], text => { out += text }), 0)
    t.equal(out, text, args.join(' '))
  }
  for (const flag of [...Object.keys(serveFlags), ...Object.keys(checkFlags)]) t.ok(help().includes(`  --${flag}`), flag)
  for (const line of help().split('\n')) t.ok(line.length <= 100, line)
})

t.test('what is logged, and how', async t => {
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']) t.equal(parseLevel(level), level)
  t.equal(parseLevel(), 'info')
  t.match(logOptions('warn', () => {}), { logger: { level: 'warn' }, logController: { disableRequestLogging: true } })
  t.strictSame(withoutRequests({}), { disableRequestLogging: true }, 'older versions of Fastify')
})

t.test('readable lines for a terminal', async t => {
  const pretty = await loadPretty()
  t.match(pretty?.('{"level":30,"time":0,"pid":1,"hostname":"h","method":"GET","url":"/x","msg":"request completed"}\n'), /^\[.*\d\d:\d\d:00.*\] .*INFO.*: .*GET \/x: request completed.*\n$/)
  t.match(pretty?.('{"level":40,"time":0,"msg":"careful"}\n'), /WARN.*: .*careful/)
  t.notMatch(pretty?.('{"level":40,"time":0,"pid":1,"msg":"careful"}\n'), 'pid')
})
