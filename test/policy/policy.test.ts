import t from 'tap'
import { createPolicy } from '../../lib/policy/policy.js'
import type { CorsAccess } from '../../lib/policy/policy.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import type { AllowedRule, MlflowSecurityOptions, RequestHead } from '../../types/index.js'

type Headers = Record<string, string>

const POST = (headers: Headers): RequestHead => ({ method: 'POST', url: '/', headers })
const GET = (headers: Headers): RequestHead => ({ method: 'GET', url: '/', headers })
/** What a trusted proxy says of the client's request. */
const known = (host: string, protocol = 'http') => ({ host, protocol })

const policy = (options: MlflowSecurityOptions = {}) => createPolicy(resolveSettings(options, {}))

t.test('the rule that lets a request pass', async t => {
  const host = 'localhost:5000'
  const cases: Array<[name: string, rule: AllowedRule, request: RequestHead, options?: MlflowSecurityOptions]> = [
    ['a read', 'safe-method', GET({ host })],
    ['a foreign read', 'safe-method', GET({ host, origin: 'https://evil.com' })],
    ['HEAD', 'safe-method', { ...GET({ host, origin: 'https://evil.com' }), method: 'HEAD' }],
    ['TRACE', 'safe-method', { ...GET({ host }), method: 'TRACE' }],
    ['a bare OPTIONS', 'safe-method', { ...GET({ host, origin: 'https://evil.com' }), method: 'OPTIONS' }],
    ['a preflight without an Origin, which is none', 'safe-method', { ...POST({ host, 'access-control-request-method': 'PUT' }), method: 'OPTIONS' }],
    ['curl', 'no-origin', POST({ host })],
    ['an address bar', 'no-origin', POST({ host, 'sec-fetch-site': 'none' })],
    ['the own page without an Origin', 'no-origin', POST({ host, 'sec-fetch-site': 'same-origin' })],
    ['the own page', 'own-page', POST({ host: 'a.b:5000', origin: 'http://a.b:5000' }), { allowedHosts: 'a.b' }],
    ['the own page by https, its proxy speaking http', 'own-page', POST({ host: 'a.b', origin: 'https://a.b' }), { allowedHosts: 'a.b' }],
    ['the own page whose proxy rewrote Host', 'own-page', POST({ host: 'inner', origin: 'https://a.b', 'sec-fetch-site': 'same-origin' }), { allowedHosts: 'a.b,inner' }],
    ['a form post of the own page with Referrer-Policy: no-referrer', 'own-page', POST({ host: 'a.b', origin: 'null', 'sec-fetch-site': 'same-origin' }), { allowedHosts: 'a.b' }],
    ['the own page on an address, hosts *', 'own-page', POST({ host: '8.8.8.8:1', origin: 'http://8.8.8.8:1' }), { allowedHosts: '*' }],
    ['the own page on an address of IPv6, hosts *', 'own-page', POST({ host: '[2001:db8::1]', origin: 'http://[2001:db8::1]' }), { allowedHosts: '*' }],
    ['the own page on localhost, hosts *', 'own-page', POST({ host: 'localhost:1', origin: 'http://localhost:1' }), { allowedHosts: '*', corsAllowedOrigins: 'https://a' }],
    ['a listed page', 'listed-origin', POST({ host, origin: 'http://localhost:3000' })],
    ['a listed preflight', 'listed-origin', { ...POST({ host, origin: 'http://localhost:3000', 'access-control-request-method': 'PUT' }), method: 'OPTIONS' }],
    ['null, listed', 'listed-origin', POST({ host, origin: 'null' }), { corsAllowedOrigins: 'null' }],
    ['a listed upgrade', 'listed-origin', GET({ host, origin: 'http://localhost:3000', upgrade: 'websocket' })],
    ['an upgrade without an Origin', 'no-origin', GET({ host, upgrade: 'websocket' })],
    ['any origin', 'any-origin', POST({ host, origin: 'https://evil.com' }), { corsAllowedOrigins: '*' }],
    ['any origin, without one', 'any-origin', POST({ host, 'sec-fetch-site': 'cross-site' }), { corsAllowedOrigins: '*' }],
    ['any origin, malformed', 'any-origin', POST({ host, origin: 'x y' }), { corsAllowedOrigins: '*' }],
    ['* with a Cookie, a listed page', 'listed-origin', POST({ host, origin: 'https://app.com', cookie: 'a=b' }), { corsAllowedOrigins: '*,https://app.com' }],
    ['* with a Cookie, the own page', 'own-page', POST({ host: '10.0.0.1', origin: 'http://10.0.0.1', cookie: 'a=b' }), { corsAllowedOrigins: '*' }],
    ['* with a Cookie, an SDK', 'no-origin', POST({ host, cookie: 'a=b' }), { corsAllowedOrigins: '*' }],
    ['the own page, the browser says nothing of sites', 'own-page', POST({ host: 'a.b', origin: 'https://a.b', 'sec-fetch-site': 'none' }), { allowedHosts: 'a.b' }],
    ['an Origin of the same origin whose host is listed by a wildcard', 'own-page',
      POST({ host: 'inner', origin: 'https://x.ngrok.app', 'sec-fetch-site': 'same-origin' }), { allowedHosts: 'inner,*.ngrok.app' }],
    ['a local file', 'listed-origin', POST({ host, origin: 'file://' }), { corsAllowedOrigins: 'file://*' }],
    ['an address, whichever', 'safe-method', GET({ host: '8.8.8.8:5000' }), { allowedHosts: '@addresses' }],
    ['an address of IPv6, whichever', 'safe-method', GET({ host: '[2001:db8::1]' }), { allowedHosts: '@addresses' }],
    ['any host', 'safe-method', GET({ host: 'evil.com' }), { allowedHosts: '*' }],
    ['any host, malformed', 'safe-method', GET({ host: 'a,b' }), { allowedHosts: '*' }],
    ['any host, missing', 'safe-method', GET({}), { allowedHosts: 'a,*' }],
    ['disabled', 'disabled', POST({ host: 'evil.com', origin: 'https://evil.com' }), { disableSecurityMiddleware: true }],
    ['absolute form', 'safe-method', { ...GET({ host: 'localhost:80' }), url: 'HTTP://LOCALHOST/x' }],
    ['absolute form, https', 'safe-method', { ...GET({ host: 'localhost' }), url: 'https://localhost:443?x' }],
    ['OPTIONS *', 'safe-method', { ...GET({ host }), method: 'OPTIONS', url: '*' }],
    ['CONNECT in authority form', 'no-origin', { ...POST({ host }), method: 'CONNECT', url: host }],
    ['a request without a url', 'no-origin', { ...POST({ host }), method: 'CONNECT', url: undefined }],
    ['HTTP/2', 'safe-method', GET({ ':authority': 'localhost' })],
    ['HTTP/2 with host', 'safe-method', GET({ ':authority': 'localhost:1', host: 'LOCALHOST.:1' })],
    ['a read with a header of preflights', 'safe-method', GET({ host, origin: 'https://evil.com', 'access-control-request-method': 'PUT' })],
    ['the own page with a header of preflights', 'own-page', POST({ host: 'a.b', origin: 'http://a.b', 'access-control-request-method': 'PUT' }), { allowedHosts: 'a.b' }],
    ['any host, two of them', 'safe-method', { ...GET({ host }), rawHeaders: ['Host', host, 'Host', 'evil.com'] }, { allowedHosts: '*' }],
    ['one Host line', 'safe-method', { ...GET({ host }), rawHeaders: ['Host', host, 'Accept', '*/*', 'Dnt0', 'host'] }]
  ]
  for (const [name, rule, request, options] of cases) {
    t.same(policy(options).inspect(request), { allowed: true, rule }, name)
    const twice = policy(options)
    t.equal(twice.inspect(request), twice.inspect(request), `${name}: a passing request allocates no verdict`)
  }
})

t.test('refused Hosts: code, value, what would allow it, in words', async t => {
  const malformed = { check: 'host', code: 'FST_MLFLOW_SECURITY_HOST_MALFORMED', statusCode: 400, setting: undefined, entry: undefined }
  const notAllowed = { check: 'host', code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', statusCode: 403, setting: 'allowedHosts' }
  const begins = 'Invalid Host header - possible DNS rebinding attack detected: '
  const cases: Array<[name: string, request: RequestHead, expected: object, message: string, options?: MlflowSecurityOptions]> = [
    ['not in the default list', GET({ host: 'mlflow.lan:5000' }), { ...notAllowed, value: 'mlflow.lan:5000', entry: 'mlflow.lan' },
      'Host "mlflow.lan:5000" is not allowed. Add "mlflow.lan" to allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS). To keep the default list as well: "@default,mlflow.lan".'],
    ['not in an explicit list', GET({ host: 'evil.com' }), { ...notAllowed, value: 'evil.com', entry: 'evil.com' },
      'Host "evil.com" is not allowed. Add "evil.com" to allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS).', { allowedHosts: 'a' }],
    ['not in the default list and more', GET({ host: 'evil.com' }), { ...notAllowed, entry: 'evil.com' },
      'Host "evil.com" is not allowed. Add "evil.com" to allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS).', { allowedHosts: '@default,a' }],
    ['not in a list as long as the default list', GET({ host: 'evil.com' }), { ...notAllowed, entry: 'evil.com' },
      'Host "evil.com" is not allowed. Add "evil.com" to allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS).', { allowedHosts: 'localhost,b,c,d,e,f,g,h,i,j,k' }],
    ['on another port', GET({ host: 'a:2' }), { ...notAllowed, entry: 'a:2' },
      'Host "a:2" is not allowed. Add "a:2" to allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS).', { allowedHosts: 'a:1' }],
    ['missing', GET({}), { ...malformed, value: '' }, 'there is no Host. No entry allows it.'],
    ['empty', GET({ host: '' }), { ...malformed, value: '' }, 'there is no Host. No entry allows it.'],
    ['malformed', GET({ host: 'a,b\0\u00ff"' }), malformed, 'Host "a,b\\u0000\\u00ff\\"" is not of the form host[:port]. No entry allows it.'],
    ['two lines', { ...GET({ host: 'localhost' }), rawHeaders: ['Host', 'localhost', 'hOST', 'evil.com'] }, malformed,
      'Host "localhost", but the request has two Host headers. No entry allows it.'],
    ['a thousand headers, of which Node drops the rest', { ...GET({ host: 'localhost' }), rawHeaders: Array(2000).fill('a') }, malformed,
      'Host "localhost", but the request has a thousand headers or more, and Node may have dropped some. No entry allows it.'],
    ['as many headers as the server reads', { ...GET({ host: 'localhost' }), rawHeaders: Array(20).fill('a'), socket: { server: { maxHeadersCount: 10 } } }, malformed,
      'Host "localhost", but the request has 10 headers or more, and Node may have dropped some: raise the server\'s maxHeadersCount. No entry allows it.'],
    ['a thousand headers, whatever the server reads', { ...GET({ host: 'localhost' }), rawHeaders: Array(2000).fill('a'), socket: { server: { maxHeadersCount: 0 } } },
      malformed, 'Host "localhost", but the request has a thousand headers or more, and Node may have dropped some. No entry allows it.'],
    ['two lines, the same', { ...GET({ host: 'localhost' }), rawHeaders: ['host', 'localhost', 'host', 'localhost'] }, malformed,
      'Host "localhost", but the request has two Host headers. No entry allows it.'],
    ['HTTP/2', GET({ ':authority': 'localhost', host: 'evil.com' }), malformed, 'Host "localhost", but the Host header and :authority differ. No entry allows it.'],
    ['HTTP/2, another port', GET({ ':authority': 'localhost', host: 'localhost:1' }), malformed, 'Host "localhost", but the Host header and :authority differ. No entry allows it.'],
    ['HTTP/2, malformed', GET({ ':authority': 'localhost', host: 'a b' }), malformed, 'Host "localhost", but the Host header and :authority differ. No entry allows it.'],
    ['absolute form', { ...GET({ host: 'localhost' }), url: 'http://evil.com/' }, malformed, 'Host "localhost", but the request target names another host. No entry allows it.'],
    ['absolute form, another port', { ...GET({ host: 'localhost:443' }), url: 'http://localhost/' }, malformed, 'Host "localhost:443", but the request target names another host. No entry allows it.'],
    ['absolute form, userinfo', { ...GET({ host: 'localhost' }), url: 'http://localhost@evil.com/' }, malformed, 'Host "localhost", but the request target names another host. No entry allows it.'],
    ['absolute form without Host', { ...GET({}), url: 'http://localhost/' }, malformed, 'there is no Host, but the request target names another host. No entry allows it.'],
    ['neither form', { ...GET({ host: 'localhost' }), url: 'http:localhost' }, malformed, 'Host "localhost", but the request target names another host. No entry allows it.'],
    ['an empty target', { ...GET({ host: 'localhost' }), url: '' }, malformed, 'Host "localhost", but the request target names another host. No entry allows it.']
  ]
  for (const [name, request, expected, message, options] of cases) {
    t.match(policy(options).inspect(request), { allowed: false, ...expected, message: `${begins}${message}` }, name)
  }
})

t.test('a refusal quotes at most 255 characters', async t => {
  for (const host of ['a'.repeat(10_000), '\u00ff'.repeat(10_000)]) {
    const verdict = policy().inspect(GET({ host }))
    const quoted = verdict.allowed ? '' : /Host ("[^"]*")/.exec(verdict.message)?.[1] ?? ''
    t.equal(quoted.length, 255)
    t.match(quoted, /…"$/)
  }
})

t.test('verdicts are frozen: one that comes again is the same object', async t => {
  const { inspect } = policy()
  const foreign = { host: 'localhost', origin: 'https://evil.com' }
  const cases: Array<[string, RequestHead]> = [
    ['allowed', GET({ host: 'localhost' })],
    ['refused Host', GET({ host: 'evil.com' })],
    ['malformed Host', GET({ host: 'evil.com:x' })],
    ['refused Origin', POST(foreign)],
    ['refused Origin of a preflight', { ...POST({ ...foreign, 'access-control-request-method': 'PUT' }), method: 'OPTIONS' }]
  ]
  for (const [name, request] of cases) {
    const verdict = inspect(request)
    t.ok(Object.isFrozen(verdict), name)
    t.equal(inspect({ ...request }), verdict, name)
  }
  t.ok(Object.isFrozen(inspect(POST({ host: 'localhost', origin: 'null' }))))
  const { inspect: strict } = policy({ corsAllowedOrigins: 'https://app.com' })
  const ownName = strict(POST({ host: 'localhost', origin: 'http://localhost:1' }))
  t.ok(Object.isFrozen(ownName))
  t.notSame(strict(POST({ host: '127.0.0.1', origin: 'http://localhost:1' })), ownName, 'an Origin that comes again, to another Host')
  t.same(strict(POST({ host: 'localhost', origin: 'http://localhost:1' })), ownName)
})

t.test('refused Origins: code, value, what would allow it, in words', async t => {
  const host = 'localhost:5000'
  const refused = { check: 'origin', code: 'FST_MLFLOW_SECURITY_CROSS_ORIGIN', statusCode: 403 }
  const add = (entry: string) => `Add "${entry}" to corsAllowedOrigins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS).`
  type Case = [name: string, request: RequestHead, entry: string | undefined, message: RegExp | string, options?: MlflowSecurityOptions]
  const cases: Case[] = [
    ['a foreign page', POST({ host, origin: 'https://evil.com' }), 'https://evil.com',
      `Cross-origin request blocked: Origin "https://evil.com" is not allowed. ${add('https://evil.com')} To keep the default list as well: "@default,https://evil.com".`],
    ['a foreign page, an explicit list', POST({ host, origin: 'https://evil.com' }), 'https://evil.com',
      /MLFLOW_SERVER_CORS_ALLOWED_ORIGINS\)\.$/, { corsAllowedOrigins: 'https://a' }],
    ['a foreign preflight', { ...POST({ host, origin: 'https://evil.com:443', 'access-control-request-method': 'POST' }), method: 'OPTIONS' }, 'https://evil.com', add('https://evil.com')],
    ['a preflight that says it is the own page', { ...POST({ host: '10.0.0.1', origin: 'http://10.0.0.1', 'access-control-request-method': 'POST' }), method: 'OPTIONS' }, 'http://10.0.0.1', /Origin "http:\/\/10\.0\.0\.1" is not allowed\. Add/],
    ['a foreign WebSocket', GET({ host, origin: 'https://evil.com', upgrade: 'websocket' }), 'https://evil.com', add('https://evil.com')],
    ['a foreign HEAD that upgrades', { ...GET({ host, origin: 'https://evil.com', upgrade: 'x' }), method: 'HEAD' }, 'https://evil.com', add('https://evil.com')],
    ['a method that nobody knows', { ...POST({ host, origin: 'https://evil.com' }), method: 'get' }, 'https://evil.com', add('https://evil.com')],
    ['no method', { ...POST({ host, origin: 'https://evil.com' }), method: undefined }, 'https://evil.com', add('https://evil.com')],
    ['an extension', POST({ host, origin: 'chrome-extension://abc' }), 'chrome-extension://abc', add('chrome-extension://abc')],
    ['an app whose own scheme has our name', POST({ host: 'localhost', origin: 'capacitor://localhost' }), 'capacitor://localhost', add('capacitor://localhost')],
    ['the same name on another port', POST({ host: '10.0.0.1', origin: 'http://10.0.0.1:8080' }), 'http://10.0.0.1:8080', /a proxy has dropped or changed the port.*proxy_set_header Host \$http_host/],
    ['another page behind a proxy that rewrites Host, hosts *', POST({ host: '127.0.0.1:5000', origin: 'http://evil.com', 'sec-fetch-site': 'same-origin' }),
      'http://evil.com', /host validation is off: name the hosts in allowedHosts .*Add "http:\/\/evil\.com"/, { allowedHosts: '*' }],
    ['the own page on a rebindable name', POST({ host: 'a.b', origin: 'http://a.b' }), 'http://a.b', /host validation is off: name the hosts in allowedHosts .*Add "http:\/\/a\.b"/, { allowedHosts: '*' }],
    ['the own page on a rebindable name, as it says itself', POST({ host: 'a.b', origin: 'http://a.b', 'sec-fetch-site': 'same-origin' }), 'http://a.b', /host validation is off/, { allowedHosts: '*' }],
    ['null, unproven', POST({ host, origin: 'null' }), undefined, /"Referrer-Policy: same-origin".*"no-referrer"/],
    ['null of a sandboxed frame', POST({ host, origin: 'null', 'sec-fetch-site': 'cross-site' }), undefined, /sandboxed frame.*config\.mlflowSecurity\.origin to false/],
    ['null on a rebindable name', POST({ host: 'a.b', origin: 'null', 'sec-fetch-site': 'same-origin' }), undefined,
      /own page according to the browser.* name it in allowedHosts \(MLFLOW_SERVER_ALLOWED_HOSTS\), not by "\*"/, { allowedHosts: '*' }],
    ['null of a neighbour', POST({ host, origin: 'null', 'sec-fetch-site': 'same-site' }), undefined, /"Referrer-Policy: strict-origin" instead of "no-referrer"/],
    ['null of a sandboxed frame: its own fix', POST({ host, origin: 'null', 'sec-fetch-site': 'cross-site' }), undefined, /sandbox="allow-same-origin"/],
    ['an http page of an https site, as the browser says', POST({ host: '10.0.0.1', origin: 'http://10.0.0.1', 'sec-fetch-site': 'cross-site' }), 'http://10.0.0.1', /open it by https/],
    ['a neighbour whose port a proxy has dropped', POST({ host: '10.0.0.1', origin: 'https://10.0.0.1', 'sec-fetch-site': 'same-site' }), 'https://10.0.0.1',
      /the browser says that it is another page \(Sec-Fetch-Site "same-site"\)/],
    ['an own name, two values of Sec-Fetch-Site', POST({ host: '10.0.0.1', origin: 'http://10.0.0.1', 'sec-fetch-site': 'same-origin, same-origin' }), 'http://10.0.0.1', /another page/],
    ['an own name, a value that nobody knows', POST({ host: '10.0.0.1', origin: 'http://10.0.0.1', 'sec-fetch-site': 'Same-Origin' }), 'http://10.0.0.1', /another page/],
    ['* with a Cookie, a foreign page', POST({ host, origin: 'https://evil.com', cookie: 'a=b' }), 'https://evil.com',
      /The request has a Cookie, but "\*" in corsAllowedOrigins \(MLFLOW_\w+\) never allows credentials: name the origin beside it\./,
      { corsAllowedOrigins: '*' }],
    ['* with a Cookie, no Origin', POST({ host, 'sec-fetch-site': 'cross-site', cookie: 'a=b' }), undefined, /The request has a Cookie/, { corsAllowedOrigins: '*' }],
    ['* with a Cookie, a malformed Origin', POST({ host, origin: 'x y', cookie: 'a=b' }), undefined, /is not of the form .*The request has a Cookie/, { corsAllowedOrigins: '*' }],
    ['a malformed Origin where null is listed', POST({ host, origin: 'x y' }), undefined, /is not of the form/, { corsAllowedOrigins: 'null' }],
    ['two Origins', POST({ host, origin: 'http://localhost:3000, https://evil.com' }), undefined, /is not of the form scheme:\/\/host\[:port\]/],
    ['an empty Origin', POST({ host, origin: '' }), undefined, /Origin "" is not of the form/],
    ['a malformed Origin that says same-origin', POST({ host, origin: 'http://localhost:5000/', 'sec-fetch-site': 'same-origin' }), undefined, /is not of the form/],
    ['cross-site without an Origin', POST({ host, 'sec-fetch-site': 'cross-site' }), undefined, /"cross-site" but without an Origin.*config\.mlflowSecurity\.origin to false/],
    ['same-site without an Origin', POST({ host, 'sec-fetch-site': 'same-site' }), undefined, /Sec-Fetch-Site "same-site" but without an Origin/],
    ['two values of Sec-Fetch-Site', POST({ host, 'sec-fetch-site': 'same-origin, cross-site' }), undefined, /Sec-Fetch-Site "same-origin, cross-site"/]
  ]
  for (const [name, request, entry, message, options] of cases) {
    const setting = entry === undefined ? undefined : 'corsAllowedOrigins'
    t.match(policy(options).inspect(request), { allowed: false, ...refused, value: request.headers.origin ?? '', setting, entry, message }, name)
  }
})

t.test('a page on a host that a tunnel or proxy has replaced is told of allowedHosts first', async t => {
  t.match(policy().inspect(POST({ host: 'localhost:5000', origin: 'https://x.ngrok.app', 'sec-fetch-site': 'same-origin' })), {
    allowed: false,
    check: 'origin',
    setting: 'allowedHosts',
    entry: 'x.ngrok.app',
    message: 'Cross-origin request blocked: Origin "https://x.ngrok.app" is the server\'s own page according to the browser (Sec-Fetch-Site "same-origin"), but a tunnel or a ' +
      'proxy has replaced the Host, and the name in the Origin is not allowed. Add "x.ngrok.app" to allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS). To keep the ' +
      'default list as well: "@default,x.ngrok.app". If the page is not the server\'s own, use corsAllowedOrigins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS) instead.'
  })
})

t.test('where the request is known to have come by https, an http page is not its own', async t => {
  const { inspect } = policy({ allowedHosts: 'a.b', corsAllowedOrigins: 'https://other' })
  const page = (scheme: string, site?: string): RequestHead => POST({ host: 'a.b', origin: `${scheme}://a.b`, ...(site === undefined ? {} : { 'sec-fetch-site': site }) })
  for (const protocol of ['https', 'wss', 'HTTPS']) {
    t.match(inspect(page('http'), known('a.b', protocol)), { allowed: false, message: /is an http page, but the server is on https.*open it by https/ }, protocol)
    t.match(inspect(page('https'), known('a.b', protocol)), { rule: 'own-page' }, protocol)
    t.match(inspect(page('http', 'same-origin'), known('a.b', protocol)), { rule: 'own-page' }, 'a proxy speaks https to us, and the browser knows better')
  }
  for (const protocol of ['http', 'ws', '']) t.match(inspect(page('http'), known('a.b', protocol)), { rule: 'own-page' }, `${protocol} proves nothing`)
  t.match(inspect({ ...page('http'), socket: { encrypted: true } }), { allowed: false }, 'by the connection')
  for (const socket of [{}, { encrypted: false }]) t.match(inspect({ ...page('http'), socket }), { rule: 'own-page' })
  t.match(inspect({ ...page('http'), socket: { encrypted: true } }, known('a.b')), { rule: 'own-page' }, 'what a trusted proxy says comes first')
})

t.test('behind a trusted proxy both hosts must be allowed, and the page is on the one that the client knows', async t => {
  const { inspect } = policy({ allowedHosts: 'inner,public.com' })
  t.match(inspect(GET({ host: 'inner' }), known('public.com')), { allowed: true })
  t.match(inspect(GET({ host: 'inner' }), known('evil.com')), { allowed: false, check: 'host', entry: 'evil.com', message: /X-Forwarded-Host "evil.com" is not allowed/ })
  t.match(inspect(GET({ host: 'evil.com' }), known('public.com')), { allowed: false, check: 'host', entry: 'evil.com' })
  t.match(inspect(GET({ host: 'inner' }), known('a b')), { allowed: false, statusCode: 400, message: /X-Forwarded-Host "a b" is not of the form/ })
  t.match(inspect(POST({ host: 'inner', origin: 'https://public.com' }), known('public.com')), { rule: 'own-page' })
  t.match(inspect(POST({ host: 'inner', origin: 'https://inner' }), known('public.com')), { allowed: false, check: 'origin' })
  const open = policy({ allowedHosts: '*' })
  t.match(open.inspect(POST({ host: 'evil.com', origin: 'http://10.0.0.1' }), known('10.0.0.1')), { allowed: false }, 'a rebound page can name an address in X-Forwarded-Host')
})

t.test('an exempt route skips its check and no other', async t => {
  const { inspect } = policy()
  const evil = { host: 'evil.com', origin: 'http://evil.com' }
  t.match(inspect(GET({ host: 'a b' }), undefined, { host: false }), { rule: 'safe-method' })
  t.match(inspect(POST(evil), undefined, { host: false }), {
    check: 'origin',
    message: 'Cross-origin request blocked: Origin "http://evil.com" is on a Host that is not allowed itself. If it is the server\'s own page: ' +
      'Add "evil.com" to allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS). To keep the default list as well: "@default,evil.com". Any other page needs an entry. ' +
      'Add "http://evil.com" to corsAllowedOrigins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS). To keep the default list as well: "@default,http://evil.com".'
  })
  t.match(inspect(POST({ host: 'evil.com' }), undefined, { host: false }), { rule: 'no-origin' })
  t.match(inspect(POST(evil), undefined, { origin: false }), { check: 'host' })
  t.match(inspect(POST({ ...evil, host: 'localhost' }), undefined, { origin: false }), { rule: 'exempt-route' })
  t.match(inspect(POST(evil), undefined, { host: false, origin: false }), { rule: 'exempt-route' })
  t.match(inspect(POST({ origin: 'http://localhost' }), known(''), { host: false }), { rule: 'listed-origin' })
})

t.test('who may read answers', async t => {
  const cases: Array<[corsAllowedOrigins: string, origin: string | undefined, access: CorsAccess]> = [
    ['https://a', 'https://a', 'listed'], ['https://a', 'https://b', 'none'], ['https://a', undefined, 'none'], ['https://a', 'null', 'none'],
    ['https://a', 'x y', 'none'], ['*', 'https://b', 'any'], ['*', 'null', 'any'], ['*', 'x y', 'any'], ['*', undefined, 'none'],
    ['*,https://a', 'https://a', 'listed'], ['*,https://a', 'https://b', 'any'], ['*,null', 'null', 'listed'], ['file://*', 'file://', 'listed']
  ]
  for (const [corsAllowedOrigins, origin, access] of cases) t.equal(policy({ corsAllowedOrigins }).corsAccess(origin), access, `${corsAllowedOrigins}: ${origin}`)
})

t.test('ten thousand entries decide as ten do, and a flood of new hosts changes nothing', async t => {
  const many = Array.from({ length: 10_000 }, (_, i) => [`h${i}.example`, `*.w${i}.example`]).flat()
  const { inspect } = policy({ allowedHosts: [...many, 'mlflow.company.com'] })
  for (let i = 0; i < 3000; i++) {
    if (!inspect(GET({ host: `x${i}.w7.example` })).allowed) t.fail(`x${i}.w7.example`)
    if (inspect(GET({ host: `x${i}.example` })).allowed) t.fail(`x${i}.example`)
  }
  t.match(inspect(GET({ host: 'h9999.example' })), { allowed: true })
  t.match(inspect(GET({ host: 'mlflow.company.com' })), { allowed: true })
})

t.test('a wildcard pattern cannot be made to backtrack', async t => {
  const { inspect } = policy({ allowedHosts: `${'*a'.repeat(30)}*b.example` })
  const labels = `${'a'.repeat(60)}.`.repeat(4)
  t.match(inspect(GET({ host: `${labels}c` })), { allowed: false, statusCode: 403 })
  t.match(inspect(GET({ host: `${labels}b.example` })), { allowed: true })
})

t.test('fewer headers than the server reads are fine', async t => {
  for (const server of [{ maxHeadersCount: 11 }, { maxHeadersCount: 0 }, { maxHeadersCount: null }, {}, null, undefined]) {
    t.match(policy().inspect({ ...GET({ host: 'localhost' }), rawHeaders: Array(20).fill('a'), socket: { server } }), { allowed: true }, JSON.stringify(server))
  }
})

t.test('who follows the advice is let in', async t => {
  const hosts = ['evil.com', 'a_b', '8.8.8.8:1', '[2001:db8::1]:9', 'foo.com', 'foo.com:80', 'true', 'ANY:80', 'all', 'auto']
  for (const allowedHosts of [undefined, 'foo.com:5000,true:5000']) {
    for (const host of hosts) {
      const verdict = policy({ allowedHosts }).inspect(GET({ host }))
      const entry = verdict.allowed ? undefined : verdict.entry
      for (const list of ['@default', allowedHosts ?? 'x']) {
        t.match(policy({ allowedHosts: `${list},${entry}` }).inspect(GET({ host })), { allowed: true }, `${host}: ${list},${entry}`)
      }
    }
  }
})

t.test('with hosts *, a Host that is none or two is nobody\'s own', async t => {
  const { inspect } = policy({ allowedHosts: '*', corsAllowedOrigins: 'https://a' })
  const own = { 'sec-fetch-site': 'same-origin' }
  for (const request of [
    { ...POST({ ...own, host: 'localhost', origin: 'http://localhost' }), rawHeaders: ['Host', 'localhost', 'Host', 'evil.com'] },
    { ...POST({ ...own, host: 'localhost', origin: 'null' }), rawHeaders: ['Host', 'localhost', 'Host', 'evil.com'] },
    POST({ ...own, host: 'a b', origin: 'null' }),
    POST({ ...own, host: 'a b', origin: 'http://localhost' })
  ]) t.match(inspect(request), { allowed: false, check: 'origin' }, JSON.stringify(request))
})

t.test('a target that only contains a URL is none', async t => {
  t.match(policy().inspect({ ...GET({ host: 'localhost' }), url: '1http://localhost/' }), { allowed: false, statusCode: 400 })
})

t.test('who has added to the default list is not told to keep it', async t => {
  const keep = 'To keep the default list as well'
  const message = (options: MlflowSecurityOptions) => {
    const verdict = policy(options).inspect(GET({ host: 'evil.com' }))
    return verdict.allowed ? '' : verdict.message
  }
  t.match(message({}), keep)
  t.match(message({ allowedHosts: '@default' }), keep)
  t.notMatch(message({ allowedHosts: '@default,a.com' }), keep)
  t.notMatch(message({ allowedHosts: 'localhost,*.localhost,127.0.0.0/8,::1,0.0.0.0,::,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,a.com' }), keep)
  t.notMatch(message({ allowedHosts: 'localhost' }), keep)
})
