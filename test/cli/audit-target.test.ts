import { createSecureServer } from 'node:http2'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { audit } from '../../lib/cli/audit/audit.js'
import type { Report } from '../../lib/cli/audit/audit.js'
import { whatIsMeant } from '../../lib/cli/audit/meant.js'
import { createRequests } from '../../lib/cli/audit/requests.js'
import { parseTarget } from '../../lib/cli/audit/target.js'
import { MAX_REQUESTS, openWire } from '../../lib/cli/audit/wire.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import { findings, heldAttacks, ids, run } from '../fixtures/audit.js'
import { protect, startAudited } from '../fixtures/audit-targets.js'
import type { Gap } from '../fixtures/audit-targets.js'
import { run as runProgram } from '../fixtures/programs.js'
import { certificate, tlsUpstream } from '../fixtures/upstream.js'

const NAME = 'mlflow.company.com'

t.test('a server that refuses its own name: that is the finding, and nothing else can be said', async t => {
  const { url } = await startAudited(t, [], {
    wrap: () => (_request, response) => { response.writeHead(403, { 'content-type': 'text/plain' }).end('Invalid Host header - possible DNS rebinding attack detected') }
  })
  const report = await findings(url)
  t.strictSame(ids(report, 'gap'), ['own-address'])
  t.strictSame(ids(report, 'held'), [])
  t.equal(report.exitCode, 1)
  t.equal(report.requests, 6)
  t.match(
    report.findings[0]?.fix,
    /If the gateway is in front, .* remove MLFLOW_SERVER_ALLOWED_HOSTS from MLflow, or add the host and port of --upstream to it\.$/
  )
})

t.test('a login wall is inconclusive, unless the login is given', async t => {
  const walls: Array<[status: number, headers: Record<string, string>, advice: RegExp]> = [
    [401, { 'www-authenticate': 'Basic' }, /gets 401, "Who are you\?"\. If the server wants a login, send it: --header 'Authorization: …'/],
    [403, {}, /If the server wants a login/],
    [302, { location: 'https://login.company.com/' }, /gets 302, to "https:\/\/login\.company\.com\/"\. If that URL is MLflow or a login page/],
    [404, {}, /Is MLflow below another path\?/],
    [429, {}, /a rate limit/],
    [503, {}, /gets 503/],
    [200, {}, /gets 200, "Who are you\?"/]
  ]
  for (const [status, headers, advice] of walls) {
    const { url } = await startAudited(t, [], {
      wrap: (_n, inner) => (request, response) => {
        if (request.headers.authorization === 'Bearer x' || request.method === 'OPTIONS') return inner(request, response)
        response.writeHead(status, { 'content-type': 'text/html', ...headers }).end('<html><title>Who are you?</title>')
      }
    })
    const report = await findings(url)
    t.strictSame([ids(report, 'gap'), ids(report, 'held'), report.exitCode], [[], [], 2], String(status))
    t.match(report.findings[0]?.evidence, advice)
    t.equal((await findings(url, '--header', 'Authorization: Bearer x')).exitCode, 0, `${status}, with the login`)
    const words = await run(url)
    t.match(words.out, /No result: the audit needs an answer to the cases marked "inconclusive" above\.\n$/)
    t.match(words.out, /^inconclusive {4}A foreign Host is refused: as above$/m)
  }
})

t.test('a rate limit or a ban on the way is inconclusive, and what got through got through', async t => {
  const { url } = await startAudited(t, ['private-octets'], {
    wrap: (n, inner) => n > 15 ? (_request, response) => { response.writeHead(429).end('slow down') } : inner
  })
  const limited = await findings(url)
  t.strictSame(ids(limited, 'gap'), ['octets-host'])
  t.strictSame(heldAttacks(limited), [])
  t.ok(ids(limited, 'inconclusive').includes('foreign-host'))

  const banned = await startAudited(t, [], { wrap: (n, inner) => n > 15 ? ({ socket }) => { socket.destroy() } : inner })
  const ban = await findings(banned.url)
  t.strictSame([heldAttacks(ban), ids(ban, 'gap'), ban.exitCode], [[], [], 2])
  t.match(ban.findings.find(({ id }) => id === 'foreign-host')?.evidence, /403; but plain requests get other answers at the end than at the beginning\. Was it a rate limit, a ban or a restart\? After a restart, try again$/)

  const late = await startAudited(t, [], { wrap: (n, inner) => n > 3 ? (_request, response) => { response.writeHead(403).end() } : inner })
  const refused = await findings(late.url)
  t.strictSame(ids(refused, 'gap'), [], 'the own page is not refused for what it is')
  t.equal(refused.exitCode, 2)
})

/** A server that answers every connection as it is told. */
async function raw (t: Test, answer: (socket: Socket, request: string) => void): Promise<string> {
  const open = new Set<Socket>()
  const server = createTcpServer(socket => {
    open.add(socket)
    socket.on('error', () => {}).once('data', chunk => answer(socket, chunk.toString('latin1')))
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { for (const socket of open) socket.destroy(); server.close() })
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}'

/** @param timeout - a short limit of time, for servers that let it wait */
async function auditFor (url: string, timeout?: number): Promise<Report> {
  const target = parseTarget(url, undefined, [])
  const settings = resolveSettings({}, {})
  return await audit(target, whatIsMeant(settings, target), timeout)
}

t.test('answers to an attack: what is held, what is inconclusive', async t => {
  const cases: Array<[answer: string | undefined, verdict: string, evidence: RegExp]> = [
    [OK, 'gap', /served, 200/],
    ['HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', 'held', /^403$/],
    ['HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n', 'held', /^421$/],
    ['', 'held', /^connection closed$/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 'held', /^200 with nothing in it$/],
    ['HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>Welcome to nginx!</title>', 'inconclusive', /200, "Welcome to nginx!"/],
    ['HTTP/1.1 302 Found\r\nLocation: https://mlflow.company.com/\r\nContent-Length: 0\r\n\r\n', 'held', /302, to/],
    ['HTTP/1.1 302 Found\r\nLocation: //login.company.com/\r\nContent-Length: 0\r\n\r\n', 'held', /302, to/],
    ['HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n', 'inconclusive', /302, to "\/login"/],
    ['HTTP/1.1 301 Moved\r\nLocation: https://rebound.example/\r\nContent-Length: 0\r\n\r\n', 'inconclusive', /301/],
    ['HTTP/1.1 304 Not Modified\r\n\r\n', 'inconclusive', /^Host rebound.example, POST with Host rebound.example: 304$/],
    ['HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n', 'inconclusive', /429/],
    ['HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n', 'inconclusive', /503/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]', 'inconclusive', /200, "\[\]"/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull', 'inconclusive', /200/],
    ['HTTP/1.1 403 Forbidden\r\n\r\n{"error_code": "X", "message": "No \\"way\\""}', 'held', /403/],
    ['SSH-2.0-OpenSSH', 'inconclusive', /the answer is not HTTP\/1\.1/],
    ['HTTP/1.1 abc\r\n\r\n', 'inconclusive', /the answer is not HTTP\/1\.1/],
    [undefined, 'inconclusive', /no answer in 1 s/]
  ]
  for (const [answer, verdict, evidence] of cases) {
    const url = await raw(t, (socket, request) => {
      const isStrange = /\r\nOrigin|X.Forwarded|GET http|\r\nHost.*\r\nHost|health|\r\nSec-Fetch/.test(request)
      if (isStrange) socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
      else if (/\r\nHost: 127\.0\.0\.1:\d+\r\n/.test(request)) socket.end(OK)
      else if (answer !== undefined) socket.end(answer)
    })
    const { findings } = await auditFor(url, answer === undefined ? 1000 : undefined)
    const finding = findings.find(({ id }) => id === 'foreign-host')
    t.equal(finding?.verdict, verdict, String(answer))
    t.match(finding?.evidence, evidence)
  }
})

t.test('answers in pieces, in chunks, after interim ones, without a length', async t => {
  const json = '{"experiments": [], "next_page_token": "x"}'
  const answers = [
    `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: ${json.length}\r\n\r\n${json}trailing`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n${json.slice(0, 5)}\r\n${(json.length - 5).toString(16)}\r\n${json.slice(5)}\r\n0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${json.length.toString(16)}\r\n${json}\r\n`,
    `HTTP/1.0 200 OK\r\n\r\n${json}`
  ]
  for (const answer of answers) {
    const url = await raw(t, socket => {
      socket.setNoDelay(true)
      const write = (at: number): void => {
        if (at >= answer.length) socket.end()
        else socket.write(answer.slice(at, at + 20), () => setImmediate(write, at + 20))
      }
      write(0)
    })
    const { findings: [own] } = await auditFor(url)
    t.match(own, { id: 'own-address', verdict: 'held' }, answer)
  }
  const endless = await raw(t, socket => { socket.write(`HTTP/1.1 200 OK\r\n\r\n${' '.repeat(300 * 1024)}`) })
  t.match((await auditFor(endless)).findings[0], { verdict: 'inconclusive', evidence: /gets 200/ }, 'nobody waits for the end of a long answer')
})

t.test('a hostile target neither hangs the audit nor ends it', async t => {
  for (const answer of [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-6\r\n',
    'HTTP/1.1 100\r\n\r\n'.repeat(16_000),
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(300 * 1024)}`
  ]) {
    const isEndless = answer.length > 256 * 1024
    const url = await raw(t, socket => { if (isEndless) socket.write(answer); else socket.end(answer) })
    const { findings: [own] } = await auditFor(url, 30_000)
    t.match(own, { id: 'own-address', verdict: 'inconclusive' }, answer.slice(0, 60))
    if (isEndless) t.match(own?.evidence, /the answer is not HTTP\/1\.1/, 'nobody waits for the end of an endless head')
  }
})

t.test('nothing there is one line and exit code 2', async t => {
  const closed = await raw(t, () => {})
  const server = createTcpServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port: dead } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  await t.rejects(run(`http://127.0.0.1:${dead}`), {
    code: 'FST_MLFLOW_SECURITY_UNREACHABLE',
    message: `audit: http://127.0.0.1:${dead} cannot be audited at 127.0.0.1:${dead}: connect ECONNREFUSED 127.0.0.1:${dead}. Is the server running there?`
  })
  await t.rejects(run('http://mlflow.company.com', '--connect', `[::1]:${dead}`), { message: new RegExp(`at \\[::1\\]:${dead}: `) })
  const plain = await startAudited(t)
  await t.rejects(run(plain.url.replace('http:', 'https:')), { message: /^audit: [^\n]*: (ERR_SSL_|EPROTO)[^\n]*\. Is the server running there, and does it speak https\?$/ })
  // RFC 6761 §6.4: no server knows a name below .invalid.
  await t.rejects(run('http://mlflow.invalid:5000'), {
    message: /: getaddrinfo \w+ mlflow\.invalid\. The name mlflow\.invalid does not resolve on this machine\. .*: --connect ADDRESS\.$/
  })
  await t.rejects(run('http://mlflow.company.com', '--connect', 'mlflow.invalid'), { message: /The name mlflow\.invalid does not resolve/ })
  await t.rejects(auditFor(closed, 500), { message: /^audit: .*: no answer in 0\.5 s\. Is the server running there\?$/ })
})

t.test('wrong flags and URLs are one line', async t => {
  const url = 'http://127.0.0.1:1'
  const cases: Array<[args: string[], message: RegExp]> = [
    [[], /^audit needs a URL: audit http:\/\/mlflow\.lan:5000\. See --help\.$/],
    [[url, 'http://b'], /^audit takes one URL, but "http:\/\/b" is a second one\./],
    [['mlflow.lan:5000'], /^audit: "mlflow\.lan:5000" is not an http or https URL\. Did you mean http:\/\/mlflow\.lan:5000\?$/],
    [['ftp://mlflow.lan'], /is not an http or https URL\. Write it as http:\/\/mlflow\.lan:5000\./],
    [['http://'], /is not an http or https URL/],
    [['http://user:pw@mlflow.lan'], /^audit: the URL carries a login\. Leave it out, and give it as a header: --header 'Authorization: Basic …'\.$/],
    [['http://mlflow.lan/mlflow?x=1'], /^audit: the URL has a query\. Name the server alone: http:\/\/mlflow\.lan\/mlflow$/],
    [['http://mlflow.lan:0'], /has port 0/],
    [['http://a_b!c.lan'], /^audit: "a_b!c\.lan" is not a host that a request can name\.$/],
    [[url, '--bogus'], /^Unknown flag --bogus/],
    [[url, '--upstream', 'http://a'], /^Unknown flag --upstream/],
    [[url, '--connect', 'a b'], /^--connect: "a b" is not an address to connect to\. Allowed: /],
    [[url, '--connect', '127.0.0.1:0'], /^--connect: "127\.0\.0\.1:0"/],
    [[url, '--connect'], /^--connect needs a value: --connect ADDRESS\[:PORT\]\./],
    [[url, '--header', 'nonsense'], /^--header: this is not a header\. Write it as --header 'Authorization: Bearer …'\.$/],
    [[url, '--header', 'A: b\r\nC: d'], /^--header: this is not a header/],
    [[url, '--header', 'host: x'], /^--header: host is a header that the audit itself has to set\.$/],
    [[url, '--header', 'Sec-Fetch-Site: none'], /^--header: Sec-Fetch-Site is a header/],
    [[url, '--allowed-hosts', 'https://a'], /^allowedHosts .*is a URL/],
    [[url, '--cors-allowed-origins', 'a.com'], /^corsAllowedOrigins .*has no scheme/],
    [[url, '--frame-ancestors', 'a.com'], /^frameAncestors /],
    [[url, '--allowed-hosts', 'mlflow.company.com'], /^audit: "127\.0\.0\.1:1", the URL's own host, is not in allowedHosts \(mlflow\.company\.com\)\. Ask by a name that is: audit http:\/\/NAME --connect 127\.0\.0\.1:1$/],
    [['https://127.0.0.1', '--allowed-hosts', 'mlflow.company.com'], /audit https:\/\/NAME --connect/]
  ]
  for (const [args, message] of cases) await t.rejects(run(...args), { message }, args.join(' '))
  t.match((await run('--help')).out, /audit URL/)
  t.equal((await run('--version')).code, 0)
})

t.test('--connect asks elsewhere for what the URL says', async t => {
  const { port, asked } = await startAudited(t, [], { host: NAME })
  t.equal((await findings(`http://${NAME}:${port}/`, '--connect', '127.0.0.1')).exitCode, 0, 'the port of the URL')
  t.equal(asked[0]?.headers.host, `${NAME}:${port}`)
  t.equal(parseTarget('http://[::1]:5000', '::1', []).connect.host, '::1')
})

t.test('MLflow below a path', async t => {
  const { url, asked } = await startAudited(t, [], {
    wrap: (_n, inner) => (request, response) => {
      request.url = request.url?.replace(/^\/team\/mlflow/, '')
      inner(request, response)
    }
  })
  t.equal((await findings(`${url}/team/mlflow/#/experiments/0`)).exitCode, 0)
  t.ok(asked.some(({ url }) => url?.startsWith('/health/../') === true))
})

/** By https, HTTP/2 where it is asked for. */
async function startSecure (t: Test, found: readonly Gap[], host = '127.0.0.1'): Promise<{ url: string, port: number, cert: string }> {
  let answer = protect('', found, 'https')
  const tls = certificate()
  const server = createSecureServer({ ...tls, allowHTTP1: true }, (request, response) => {
    request.resume()
    answer(request, response)
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const { port } = server.address() as AddressInfo
  answer = protect(`${host}:${port}`, found, 'https')
  return { url: `https://${host}:${port}`, port, cert: tls.cert }
}

t.test('https and HTTP/2: a certificate of its own is a note, a foreign Host too', async t => {
  const safe = await startSecure(t, [])
  const report = await findings(safe.url)
  t.strictSame([ids(report, 'gap'), ids(report, 'note'), ids(report, 'inconclusive'), report.exitCode], [[], [], [], 0])
  t.strictSame(ids(report, 'held').filter(id => id.endsWith('http2')), ['authority-http2', 'foreign-http2'])
  t.match((await run(safe.url)).out, /^Note: browsers do not trust the certificate \(DEPTH_ZERO_SELF_SIGNED_CERT\)\. The audit/m)

  const open = await startSecure(t, ['any-host'])
  const rebound = await findings(open.url)
  t.strictSame([ids(rebound, 'gap'), ids(rebound, 'note'), rebound.exitCode], [[], ['foreign-host', 'authority-http2'], 0])
  t.match(rebound.findings.find(({ id }) => id === 'foreign-host')?.evidence, /By https this is not a gap/)

  const foreign = await findings((await startSecure(t, ['http2-origin'])).url)
  t.strictSame(ids(foreign, 'gap'), ['foreign-http2'])

  const own = { host: '' }
  const tls = certificate()
  const plain = await tlsUpstream(t, (request, response) => { protect(own.host, [], 'https')(request, response) }, tls)
  own.host = new URL(plain).host
  const old = await findings(plain)
  t.strictSame(ids(old, 'not applicable').filter(id => id.endsWith('http2')), ['authority-http2', 'foreign-http2'])
  t.equal(old.exitCode, 0)
  const target = parseTarget(plain, undefined, [])
  t.equal((await openWire(target, 10_000).sendHttp2(createRequests(target).page())).kind, 'unreachable', 'HTTP/2 with a server that does not speak it')
  const { url, port } = await startSecure(t, [], NAME)
  t.equal((await findings(url, '--connect', `127.0.0.1:${port}`)).exitCode, 0, 'a name in the TLS handshake')
})

t.test('the own page and scripts: refused is a gap, anything else is inconclusive', async t => {
  const answers: Array<[answer: string, verdict: string, evidence: RegExp]> = [
    ['HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{"message": "Say \\"please\\""}', 'gap', /^403, "Say \\"please\\""$/],
    ['HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/html\r\n\r\n<p>no title', 'gap', /^405$/],
    ['HTTP/1.1 400 Bad Request\r\n\r\nfirst line\r\nsecond line', 'gap', /^400, "first line"$/],
    ['HTTP/1.1 401 Unauthorized\r\n\r\n', 'inconclusive', /^401$/],
    ['HTTP/1.1 429 Too Many Requests\r\n\r\n', 'inconclusive', /^429$/],
    ['HTTP/1.1 502 Bad Gateway\r\n\r\n', 'inconclusive', /^502$/],
    ['', 'inconclusive', /closed without an answer/]
  ]
  for (const [answer, verdict, evidence] of answers) {
    const url = await raw(t, (socket, request) => { socket.end(request.startsWith('POST') ? answer : OK) })
    const { findings } = await auditFor(url)
    for (const id of ['own-page', 'sdk']) {
      const finding = findings.find(finding => finding.id === id)
      t.equal(finding?.verdict, verdict, `${id}: ${answer}`)
      t.match(finding?.evidence, evidence)
    }
  }
})

t.test('an audit ends with its last request', async t => {
  const { url, asked } = await startAudited(t)
  const target = parseTarget(url, undefined, [])
  const wire = openWire(target, 10_000)
  const requests = createRequests(target)
  for (let i = 0; i < MAX_REQUESTS; i++) t.equal((await wire.send(requests.page())).kind, 'answer')
  t.match(await wire.send(requests.page()), { kind: 'unreachable', reason: 'the audit has sent its 120 requests' })
  t.equal(asked.length, MAX_REQUESTS)
})

t.test('a login goes to nobody whose certificate is not trusted', async t => {
  const { url, port, cert } = await startSecure(t, [])
  const env = { NODE_EXTRA_CA_CERTS: join(t.testdir({ 'cert.pem': cert }), 'cert.pem') }
  const login = ['--header', 'Authorization: Bearer x']
  t.match(await runProgram(t, ['audit', url, ...login], env), { code: 0, out: /^0 gaps, /m, err: /^$/ })
  t.match(await runProgram(t, ['audit', `https://${NAME}:${port}`, '--connect', '127.0.0.1', ...login], env), {
    code: 2,
    out: /^$/,
    err: /^fastify-mlflow-security: audit: [^\n]*altnames[^\n]* With --header, the certificate must be trusted[^\n]*\n$/
  })
  await t.rejects(run(url, '--header', 'Authorization: Bearer x'), {
    code: 'FST_MLFLOW_SECURITY_UNREACHABLE', message: /self-signed certificate\. With --header, the certificate must be trusted.*NODE_EXTRA_CA_CERTS=FILE/
  })
})

t.test('HTTP/2 that fails by itself is inconclusive', async t => {
  const tls = certificate()
  for (const [method, answer] of [['GET', 'read'], ['POST', 'write']] as const) {
    let own = ''
    const server = createSecureServer({ ...tls, allowHTTP1: true }, (request, response) => {
      request.resume()
      if (request.httpVersion === '2.0' && request.method === method) return request.stream.close(2)
      protect(own, [], 'https')(request, response)
    })
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    t.teardown(() => server.close())
    own = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const report = await findings(`https://${own}`)
    t.strictSame(ids(report, 'inconclusive'), [answer === 'read' ? 'authority-http2' : 'foreign-http2'])
    t.equal(report.exitCode, 0, 'HTTP/1.1 has been asked')
  }
})

t.test('nobody waits for the end of a long answer by HTTP/2 either', async t => {
  const server = createSecureServer(certificate(), (_request, response) => {
    const write = (): void => { if (response.writable && response.write(' '.repeat(64 * 1024))) setImmediate(write) }
    response.on('drain', write)
    write()
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => server.close())
  const target = parseTarget(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, undefined, [])
  const outcome = await openWire(target, 30_000).sendHttp2(createRequests(target).read())
  t.match(outcome, { kind: 'answer', status: 200 })
  t.ok('body' in outcome && outcome.body.length < 1 << 20, 'no more than it looks at')
})
