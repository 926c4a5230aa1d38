import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { ended, says, startNode } from '../fixtures/programs.js'
import { request } from '../fixtures/server.js'

const SERVER = fileURLToPath(new URL('../../examples/playground/server.js', import.meta.url))

/** Starts it as `npm start` does, and collects what it says. */
const play = (t: Test, flags: string[], environment = {}) => startNode(t, [SERVER, ...flags], environment)

async function started (t: Test, ...flags: string[]): Promise<{ child: ChildProcess, port: number }> {
  const playground = play(t, ['--port', '0', ...flags])
  const [, , port] = await says(playground, /^Playground: +(http:\/\/127\.0\.0\.1:(\d+))\nTry: +curl -H 'Host: evil\.com' \1\n/m)
  const { child, said } = playground
  t.equal(said.out.replace(/^\{.*\n/gm, '').trim().split('\n').length, 2, 'prints its address and what to try, and nothing else')
  return { child, port: Number(port) }
}

const host = (port: number) => [['Host', `127.0.0.1:${port}`]] as const

async function verdict (port: number, body: object): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${port}/verdict`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return await response.json()
}

t.test('the playground: page, settings, verdicts, live refusals, and a clean end', async t => {
  const { child, port } = await started(t, '--cors-allowed-origins', 'https://a', '--cors-allowed-origins', 'https://b', '--frame-ancestors', 'https://nb')
  for (const [file, type] of [['/', 'text/html'], ['/playground.js', 'javascript'], ['/style.css', 'text/css'], ['/icon.svg', 'image/svg']] as const) {
    const { status, headers } = await request(port, 'GET', file, host(port))
    t.equal(status, 200, file)
    t.match(headers['content-type'], type, file)
    t.match(headers['content-security-policy'], "default-src 'none'; script-src 'self'", file)
    t.match(headers['content-security-policy'], "frame-ancestors 'self' https://nb", file)
  }
  const settings = await request(port, 'GET', '/settings', host(port))
  t.match(JSON.parse(settings.body), { corsAllowedOrigins: ['https://a', 'https://b'], xFrameOptions: 'SAMEORIGIN' })

  t.same(await verdict(port, { method: 'POST', host: 'localhost', origin: 'https://a' }), { allowed: true, rule: 'listed-origin' })
  t.match(await verdict(port, { method: 'GET', host: 'localhost', origin: 'https://c', upgrade: true }), { allowed: false, entry: 'https://c' })
  t.match(await verdict(port, { method: 'OPTIONS', host: 'localhost', origin: 'https://c', preflight: true, site: 'cross-site' }), { allowed: false })
  t.match(await verdict(port, { method: 'POST' }), { code: 'FST_MLFLOW_SECURITY_HOST_MALFORMED' })
  t.match(await verdict(port, { method: 'POST', unknown: 1, host: 'evil.com' }), { entry: 'evil.com' })
  t.match(await verdict(port, { method: 1, host: ['a'] }), { allowed: false })
  t.match(await verdict(port, { method: 'POST', host: 'a'.repeat(2001) }), { statusCode: 400, code: 'FST_ERR_VALIDATION' })

  for (let i = 0; i < 50; i++) await request(port, 'GET', '/first', [['Host', 'evil.com']])
  t.equal((await request(port, 'GET', '/before', [['Host', 'evil.com']])).status, 403)
  const events = await new Promise<IncomingMessage>(resolve => { get({ port, path: '/refusals', host: '127.0.0.1' }, resolve) })
  let stream = ''
  events.setEncoding('utf8').on('data', chunk => { stream += chunk }).on('error', () => {})
  t.match(events.headers, { 'content-type': 'text/event-stream', 'x-content-type-options': 'nosniff' })
  t.equal((await request(port, 'GET', '/after', [['Host', 'evil.com']])).status, 403)
  while (!stream.includes('/after')) await once(events, 'data')
  t.equal(stream.split('data: ').length - 1, 51, 'the last fifty of before, and the new one')
  t.match(stream, /data: \{"check":"host".*"url":"\/before".*\n\ndata: .*"url":"\/after"/)

  t.equal((await request(port, 'HEAD', '/refusals', host(port))).status, 404, 'a HEAD request does not hang on the stream')

  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null], 'ends with an event stream open')
})

t.test('its pages may be framed as X-Frame-Options says', async t => {
  const cases: Array<[flags: string[], ancestors: RegExp]> = [
    [[], /; frame-ancestors 'self'$/],
    [['--x-frame-options', 'DENY'], /; frame-ancestors 'none'$/],
    [['--x-frame-options', 'NONE'], /form-action 'self'$/],
    [['--disable-security-middleware', '--frame-ancestors', 'https://nb'], /; frame-ancestors 'self'$/]
  ]
  for (const [flags, ancestors] of cases) {
    const { port } = await started(t, ...flags)
    const { status, headers } = await request(port, 'GET', '/', host(port))
    t.equal(status, 200)
    t.match(headers['content-security-policy'], ancestors, flags.join(' '))
  }
})

t.test('report only and disabled are told to the page, and let everything through', async t => {
  for (const [flag, setting] of [['--report-only', 'reportOnly'], ['--disable-security-middleware', 'disableSecurityMiddleware']] as const) {
    const { port } = await started(t, flag)
    const settings = await request(port, 'GET', '/settings', [['Host', 'evil.com']])
    t.equal(settings.status, 200)
    t.match(JSON.parse(settings.body), { [setting]: true })
  }
})

t.test('settings that refuse the address itself: it says so, and how to reach it', async t => {
  const playground = play(t, ['--port', '0', '--allowed-hosts', 'mlflow.company.com'])
  await says(playground, /^Note: +these settings refuse this very address\. .*Add "127\.0\.0\.1[:\d]*" to allowedHosts/m)
  playground.child.kill('SIGTERM')
  t.match(await ended(playground), { code: 0 })
})

t.test('wrong flags: one line that says what is wrong, exit code 2, no stack', async t => {
  const busy = createServer().listen(0, '127.0.0.1')
  t.teardown(() => busy.close())
  await once(busy, 'listening')
  const taken = String((busy.address() as AddressInfo).port)

  const cases: Array<[flags: string[], message: RegExp, environment?: Record<string, string>]> = [
    [['--allowed-hosts', 'https://a'], /^allowedHosts \(MLFLOW_SERVER_ALLOWED_HOSTS, --allowed-hosts\): "https:\/\/a" is a URL.*Did you mean "a"\?\n$/],
    [['--allowed-host', 'a'], /^Unknown option '--allowed-host'.*\n$/],
    [['--allowed-hosts', '--report-only'], /^Option '--allowed-hosts.*' argument is ambiguous.*\n$/],
    [[], /^xFrameOptions \(MLFLOW_SERVER_X_FRAME_OPTIONS, --x-frame-options\): "MAYBE" is not allowed.*\n$/i, { MLFLOW_SERVER_X_FRAME_OPTIONS: 'MAYBE' }],
    [['--port', 'http'], /^--port \(PORT\): "http" is not a port\..*\n$/],
    [['--port', '65536'], /^--port \(PORT\): "65536" is not a port\..*\n$/],
    [['--port', taken], new RegExp(`^Port ${taken} of 127\\.0\\.0\\.1 is taken\\..*\\n$`)]
  ]
  for (const [flags, message, environment] of cases) {
    const { code, err } = await ended(play(t, ['--port', '0', ...flags], environment))
    t.equal(code, 2, message.source)
    t.match(err, message)
  }
})

t.test('--help', async t => {
  const { code, out } = await ended(play(t, ['--help']))
  t.equal(code, 0)
  t.match(out, '--allowed-hosts LIST')
})
