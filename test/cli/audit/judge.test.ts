import t from 'tap'
import { OK, raw } from '../../fixtures/audit-servers.js'
import { startAudited } from '../../fixtures/audit-targets.js'
import { auditFor, findings, ids, run } from '../../fixtures/audit.js'

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
