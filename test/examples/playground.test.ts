import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { ended, says, startNode } from '../fixtures/programs.js'
import { parse, request } from '../fixtures/server.js'

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

async function post (port: number, path: string, body: object): Promise<{ status: number, text: string }> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, text: await response.text() }
}

interface Attack { readonly name: string, readonly request: { readonly method: string, readonly origin?: string } }
interface Attacks { attacksOn (server: string, corsAllowedOrigins: string): readonly Attack[] }

// A script of the page: it has no types.
const { attacksOn }: Attacks = await import(new URL('../../examples/playground/public/attacks.js', import.meta.url).href)

interface Outcome {
  readonly sent: string
  readonly answer: string
  readonly verdict?: { readonly allowed: boolean, readonly rule?: string, readonly entry?: string }
  readonly warnings: readonly string[]
}

async function tried (port: number, request: object, settings: object = {}): Promise<Outcome> {
  const { status, text } = await post(port, '/try', { settings, request })
  if (status !== 200) throw new Error(`${status}: ${text}`)
  return JSON.parse(text)
}

t.test('the playground: page, settings, live refusals, and a clean end', async t => {
  const { child, port } = await started(t, '--cors-allowed-origins', 'https://a', '--cors-allowed-origins', 'https://b', '--frame-ancestors', 'https://nb')
  for (const [file, type] of [['/', 'text/html'], ['/playground.js', 'javascript'], ['/attacks.js', 'javascript'], ['/style.css', 'text/css'], ['/icon.svg', 'image/svg']] as const) {
    const { status, headers } = await request(port, 'GET', file, host(port))
    t.equal(status, 200, file)
    t.match(headers['content-type'], type, file)
    t.match(headers['content-security-policy'], "default-src 'none'; script-src 'self'", file)
    t.match(headers['content-security-policy'], "frame-ancestors 'self' https://nb", file)
  }
  const settings = await request(port, 'GET', '/settings', host(port))
  t.match(JSON.parse(settings.body), { corsAllowedOrigins: ['https://a', 'https://b'], xFrameOptions: 'SAMEORIGIN' })

  for (let i = 0; i < 50; i++) await request(port, 'GET', '/first', [['Host', 'evil.com']])
  t.equal((await request(port, 'GET', '/before', [['Host', 'evil.com']])).status, 403)
  const events = await new Promise<IncomingMessage>(resolve => { get({ port, path: '/refusals', host: '127.0.0.1' }, resolve) })
  let stream = ''
  events.setEncoding('utf8').on('data', chunk => { stream += chunk }).on('error', () => {})
  t.match(events.headers, { 'content-type': 'text/event-stream', 'x-content-type-options': 'nosniff' })
  t.equal((await request(port, 'GET', '/after', [['Host', 'evil.com']])).status, 403)
  await tried(port, { method: 'GET', host: 'tried.com' })
  while (!stream.includes('tried.com')) await once(events, 'data', { signal: AbortSignal.timeout(10_000) })
  const urls = [...stream.matchAll(/^data: (.*)$/gm)].map(([, event = '']) => JSON.parse(event).url)
  t.same(urls, [...Array(49).fill('/first'), '/before', '/after', '/api/2.0/mlflow/runs/create'], 'the last fifty, and the new ones')
  t.match(stream, /"reason":"Invalid Host header - [^}]*Host \\"evil\.com\\" is not allowed\. Add \\"evil\.com\\" to allowedHosts/, 'each with its reason')

  t.equal((await request(port, 'HEAD', '/refusals', host(port))).status, 404, 'a HEAD request does not hang on the stream')

  child.kill('SIGTERM')
  t.same(await once(child, 'close'), [0, null], 'ends with an event stream open')
})

t.test('the ready-made attacks, over a socket, with the answer and the reason', async t => {
  const { port } = await started(t)
  const cases: Record<string, [lan: string, local: string]> = {
    'A page on a rebound name': ['403 evil.com', '403 evil.com'],
    "Another site's form": ['403 http://evil.com', '403 http://evil.com'],
    // By default the pages of this machine may call each other.
    'A neighbour on another port': ['403 http://10.0.0.5:8888', '200 listed-origin'],
    'A sandboxed frame': ['403 no entry', '403 no entry'],
    'A WebSocket from elsewhere': ['403 http://evil.com', '403 http://evil.com'],
    "Another site's preflight": ['403 http://evil.com', '403 http://evil.com'],
    "An allowed app's preflight": ['204 listed-origin', '204 listed-origin'],
    'The own page': ['200 own-page', '200 listed-origin'],
    'An SDK, or curl': ['200 no-origin', '200 no-origin']
  }
  for (const [i, server] of ['10.0.0.5:5000', 'localhost:5000'].entries()) {
    const attacks = attacksOn(server, '@default')
    t.same(attacks.map(({ name }) => name), Object.keys(cases))
    for (const { name, request } of attacks) {
      const { sent, answer, verdict } = await tried(port, request)
      t.match(sent, `${request.method} /api/2.0/mlflow/runs/create HTTP/1.1\r\nHost: `, name)
      const outcome = verdict?.allowed === true ? verdict.rule : verdict?.entry ?? 'no entry'
      t.equal(`${parse(answer).status} ${outcome}`, cases[name]?.[i], `${name} at ${server}`)
    }
  }
})

t.test('an allowed app is one of the first allowed origin', async t => {
  const { port } = await started(t)
  for (const corsAllowedOrigins of ['https://app.company.com', ' @default ,https://b', 'https://*.company.com', 'http://a:*', 'localhost', '*', 'null']) {
    const [preflight] = attacksOn('10.0.0.5', corsAllowedOrigins).filter(({ name }) => name.startsWith('An allowed'))
    const { answer } = await tried(port, preflight?.request ?? {}, { corsAllowedOrigins })
    t.match(parse(answer), { status: 204, headers: { 'access-control-allow-origin': corsAllowedOrigins === '*' ? '*' : preflight?.request.origin } }, corsAllowedOrigins)
  }
})

t.test('what if the settings were others', async t => {
  const { port } = await started(t, '--report-only')
  const name = { method: 'GET', host: 'mlflow.company.com' }
  t.match(await tried(port, name), { verdict: { entry: 'mlflow.company.com' }, answer: /^HTTP\/1\.1 200 / }, 'the flags of the start count')
  t.match(await tried(port, name, { allowedHosts: '@default, mlflow.company.com' }), { verdict: { allowed: true } })
  t.match(await tried(port, name, { disableSecurityMiddleware: true }), { verdict: { rule: 'disabled' } })
  t.match(await tried(port, name, { xFrameOptions: 'DENY' }), { answer: /^x-frame-options: DENY\r$/m })
  const socket = { method: 'GET', host: 'localhost:5000', origin: 'http://localhost:5000', upgrade: true }
  t.match(await tried(port, socket), { answer: /^HTTP\/1\.1 101 [^]*\r\n\r\n$/ }, 'a socket that passes')

  const any = { method: 'POST', host: 'localhost', origin: 'https://evil.com' }
  const { verdict, warnings } = await tried(port, any, { corsAllowedOrigins: '*' })
  t.match(verdict, { rule: 'any-origin' })
  t.match(warnings.join(), /corsAllowedOrigins .* has "\*"/, 'with what such a server warns of')
  t.match(await tried(port, { ...any, cookie: true }, { corsAllowedOrigins: '*' }), { verdict: { allowed: false } })

  t.match(await post(port, '/check', { settings: { xFrameOptions: 'NONE' } }), { status: 200, text: /^{"warnings":\[".* is NONE without frameAncestors/ })
  for (const path of ['/check', '/try']) {
    t.match(await post(port, path, { settings: { allowedHosts: 'https://a' }, request: { method: 'GET' } }), {
      status: 400, text: /"FST_MLFLOW_SECURITY_INVALID_OPTION".*https:\/\/a\\" is a URL.*Did you mean \\"a\\"\?"/
    }, path)
  }
})

t.test('what Node refuses, and what no request is made of', async t => {
  const { port } = await started(t)
  const nothing = await tried(port, { method: 'GET' })
  t.match(nothing.answer, /^HTTP\/1\.1 400 /)
  t.equal(nothing.verdict, undefined, 'without a Host it never comes to a verdict')
  for (const wrong of [{ method: 'GET', host: 'a\r\nX: y' }, { method: 'GET / HTTP/1.1\r\n' }, { method: 'POST', host: 'a'.repeat(2001) }, {}]) {
    t.match(await post(port, '/try', { settings: {}, request: wrong }), { status: 400, text: 'FST_ERR_VALIDATION' })
  }
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
