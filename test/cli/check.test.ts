import { METHODS } from 'node:http'
import t from 'tap'
import { check } from '../../lib/cli/check.js'
import { main } from '../../lib/cli/main.js'
import { request, send } from '../fixtures/server.js'
import { echo, gateway } from '../fixtures/upstream.js'

t.test('check: the verdict, the rule, the fix, and the exit code', async t => {
  const cases: Array<[args: string[], code: number, lines: Array<string | RegExp>]> = [
    [['--host-header', 'localhost:5000'], 0, ['Allowed', /^Rule: a method that changes nothing/, 'Host: matches "localhost" in allowedHosts']],
    [['--host-header', 'c.com', '--allowed-hosts', '*'], 0, ['Allowed', /^Rule/, 'Host: matches "*" in allowedHosts']],
    [['--host-header', 'mlflow.lan:8080'], 1, [
      'Refused: 403 FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 'Rule: the Host is not in allowedHosts', /^Why: {2}Invalid Host header/,
      "Fix:  --allowed-hosts '@default,mlflow.lan' or MLFLOW_SERVER_ALLOWED_HOSTS='@default,mlflow.lan'"
    ]],
    [['--allowed-hosts', 'a.com', '--allowed-hosts', 'b.com', '--host-header', 'c.com', '--report-only'], 1, [
      /^Refused/, /^Rule/, /^Why/, /^Fix: {2}--allowed-hosts 'a\.com,b\.com,c\.com' or/, 'Note: reportOnly is on: the gateway logs it and lets it pass'
    ]],
    [['--allowed-hosts', '@default, mlflow.lan', '--allowed-hosts', 'b.com', '--host-header', 'c.com'], 1, [
      /^Refused/, /^Rule/, /^Why/, "Fix:  --allowed-hosts '@default,mlflow.lan,b.com,c.com' or MLFLOW_SERVER_ALLOWED_HOSTS='@default,mlflow.lan,b.com,c.com'"
    ]],
    [['--host-header', 'localhost', '--method', 'POST', '--sec-fetch-site', 'cross-site'], 1, [/^Refused: 403/, /^Rule/, /^Why: .*Sec-Fetch-Site/]],
    [['--host-header', 'localhost', '--method', 'POST'], 0, ['Allowed', /^Rule: no Origin, and nothing says/, /^Host/]],
    [['--host-header', 'localhost', '--method', 'POST', '--origin', 'https://a.com', '--cors-allowed-origins', 'https://a.com'], 0, [
      'Allowed', 'Rule: the Origin is in corsAllowedOrigins', /^Host/
    ]],
    [['--host-header', 'localhost', '--method', 'POST', '--origin', 'https://a.com', '--cors-allowed-origins', '*'], 0, [
      'Allowed', /^Rule: every Origin may write/, /^Host/
    ]],
    [['--host-header', ''], 1, ['Refused: 400 FST_MLFLOW_SECURITY_HOST_MALFORMED', 'Rule: the Host is malformed', /there is no Host/]],
    [['--host-header', 'localhost', '--method', 'post', '--origin', 'https://a.com'], 1, [
      'Refused: 403 FST_MLFLOW_SECURITY_CROSS_ORIGIN', "Rule: the Origin is neither in corsAllowedOrigins nor the server's own", /^Why/,
      /^Fix: {2}--cors-allowed-origins '@default,https:\/\/a\.com' or MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=/
    ]],
    [['--host-header', 'localhost', '--method', 'POST', '--origin', 'null'], 1, [/^Refused/, /^Rule/, /^Why/]],
    [['--host-header', 'localhost', '--method', 'POST', '--origin', 'null', '--sec-fetch-site', 'same-origin'], 0, ['Allowed', "Rule: the Origin is the server's own", /^Host/]],
    [['--host-header', 'evil.com', '--path', '/health'], 0, ['Allowed', /^Rule/, 'Path: a health route, which answers for every Host']],
    [['--host-header', 'evil.com', '--static-prefix', '/mlflow', '--path', '/mlflow/health'], 0, ['Allowed', /^Rule/, /^Path: a health route/]],
    [['--host-header', 'evil.com', '--disable-security-middleware'], 0, ['Allowed', 'Rule: security is disabled (disableSecurityMiddleware)']]
  ]
  for (const [args, expected, lines] of cases) {
    let out = ''
    const code = await main(['check', '--upstream', 'http://127.0.0.1:5000', ...args], text => { out += text })
    t.equal(code, expected, args.join(' '))
    t.match(out.split('\n'), [...lines, /^$/])
    t.equal(out.split('\n').length, lines.length + 1)
  }
})

t.test('check --json: the verdict as programs read it', async t => {
  let out = ''
  t.equal(await main(['check', '--host-header', 'mlflow.lan', '--json'], text => { out += text }), 1)
  const { message, ...answer } = JSON.parse(out)
  t.match(message, /^Invalid Host header/)
  t.strictSame(answer, {
    allowed: false,
    statusCode: 403,
    code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED',
    check: 'host',
    setting: 'allowedHosts',
    value: 'mlflow.lan',
    entry: 'mlflow.lan',
    explanation: 'the Host is not in allowedHosts',
    anyHost: false,
    fix: "--allowed-hosts '@default,mlflow.lan' or MLFLOW_SERVER_ALLOWED_HOSTS='@default,mlflow.lan'",
    reportOnly: false
  })
  t.match(out, /^\{\n {2}"allowed": false,[^]*\n\}\n$/)
})

t.test('check says what the gateway does', async t => {
  const options = { allowedHosts: 'localhost,*.company.com', corsAllowedOrigins: 'https://app.company.com', staticPrefix: '/mlflow' }
  const { port } = await gateway(t, { upstream: await echo(t), ...options })
  const paths = [
    ['GET', '/'], ['POST', '/x'], ['POST', '/mlflow/health'], ['GET', '/mlflow/%68ealth?x'], ['GET', '/health'], ['GET', '/mlflow/health/'],
    ['OPTIONS', '/mlflow/version'], ['GET', '/mlflow/%C3%A4?%zz']
  ] as const
  for (const host of ['localhost', 'a.company.com:1', 'evil.com', '127.1']) {
    for (const origin of [undefined, 'https://app.company.com', 'http://a.company.com:1', 'null', 'https://evil.com']) {
      for (const [method, path] of paths) {
        const answer = await check(options, { host, origin, site: undefined, method, path })
        const { status } = await request(port, method, path, [['Host', host], ...(origin === undefined ? [] : [['Origin', origin] as const])])
        t.equal(answer.allowed ? 200 : answer.statusCode, status, `${method} ${path} ${host} ${origin}`)
      }
    }
  }
})

t.test('check says of each method what the gateway does with it', async t => {
  const { port } = await gateway(t, { upstream: await echo(t) })
  const passed: string[] = []
  const ask = async (method: string, origin: string | undefined) => {
    const headers = [['Host', 'localhost'], ['Content-Type', 'text/plain'], ...(origin === undefined ? [] : [['Origin', origin] as const])] as const
    return (await request(port, method, '/', headers)).status
  }
  for (const method of METHODS.filter(method => method !== 'CONNECT')) { // which Node gives to nobody: it hangs up
    const isPassed = await ask(method, undefined) !== 404
    if (isPassed) passed.push(method)
    for (const origin of [undefined, 'https://evil.com']) {
      const question = check({}, { host: 'localhost', origin, site: undefined, method, path: '/' })
      if (!isPassed) { await t.rejects(question, { message: /^--method: "[A-Z-]+" is not passed on/ }, method); continue }
      const answer = await question
      t.equal(answer.allowed ? 200 : answer.statusCode, await ask(method, origin), `${method} ${origin}`)
    }
  }
  t.strictSame(passed.toSorted(), ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'])
  await t.rejects(check({}, { host: 'localhost', origin: undefined, site: undefined, method: 'CONNECT', path: '/' }), { message: /is not passed on/ })
  t.equal(await send(port, 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n'), '')
})

t.test('check knows health routes by the router, not by text', async t => {
  const { port } = await gateway(t, { upstream: await echo(t) })
  for (const [method, path] of [['GET', '/%2fhealth'], ['GET', '/health;x'], ['GET', '/HEALTH']] as const) {
    const answer = await check({}, { host: 'evil.com', origin: undefined, site: undefined, method, path })
    t.match(answer, { allowed: false, statusCode: 403, anyHost: false }, `${method} ${path}`)
    t.equal((await request(port, method, path, [['Host', 'evil.com']])).status, 403, `${method} ${path}, over the wire`)
  }
  for (const [method, path, message] of [
    ['GET', 'x', /^--path: "x" does not begin with a slash\.$/],
    ['GET', '/hea\tlth', /^--path: "\/hea\\tlth" has characters that a request line cannot have: escape them \(%20\)\.$/],
    ['GET', '/a b', /has characters/],
    ['GET', '/ä', /has characters/],
    ['GET', '/a/../health', /^--path: "\/a\/\.\.\/health": This path is not passed on, because programs read it differently/],
    ['GET', '/./health', /is not passed on/],
    ['GET', '/health#x', /is not passed on/],
    ['GET', '/%zz', /has a "%" that escapes nothing: write %25/],
    ['GET', '/%az', /has a "%" that escapes nothing/],
    ['GET', '/a%', /has a "%" that escapes nothing/],
    ['FOO', '/health', /^--method: "FOO" is not passed on\. Allowed: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY, TRACE\.$/],
    ['PROPFIND', '/health', /is not passed on/]
  ] as const) {
    await t.rejects(check({}, { host: 'evil.com', origin: undefined, site: undefined, method, path }), { message }, `${method} ${path}`)
  }
})

t.test('check knows Cookies and https', async t => {
  const any = { corsAllowedOrigins: '*,https://app.com', allowedHosts: 'a.b' }
  const post = { host: 'a.b', site: undefined, method: 'POST', path: '/' }
  for (const [origin, more, expected] of [
    ['https://evil.com', {}, { allowed: true, rule: 'any-origin' }],
    ['https://evil.com', { cookie: true }, { allowed: false, fix: "--cors-allowed-origins '*,https://app.com,https://evil.com' or MLFLOW_SERVER_CORS_ALLOWED_ORIGINS='*,https://app.com,https://evil.com'" }],
    ['https://app.com', { cookie: true }, { allowed: true, rule: 'listed-origin' }],
    ['http://a.b', { cookie: true }, { allowed: true, rule: 'own-page' }],
    ['http://a.b', { cookie: true, https: true }, { allowed: false, message: /open it by https/ }]
  ] as const) {
    t.match(await check(any, { ...post, origin, ...more }), expected, `${origin} ${JSON.stringify(more)}`)
  }
})
