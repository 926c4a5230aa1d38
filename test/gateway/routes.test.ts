// Which paths are health routes, the trace renderer and callback paths, and what these are exempt from.
import t from 'tap'
import { createGateway } from '../../lib/gateway.js'
import { request } from '../fixtures/server.js'
import { gateway, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const

t.test('probes ask by any Host, and only they', async t => {
  const { listener } = recorder()
  const target = await upstream(t, listener)
  const evil = ['Host', 'evil.com'] as const
  for (const [options, path, status] of [
    [{}, '/health', 200], [{}, '/version', 200], [{}, '/health/x', 403], [{}, '/api/../health', 403], [{}, '/mlflow/health', 403],
    [{ staticPrefix: '/mlflow' }, '/mlflow/health', 200], [{ staticPrefix: '/mlflow' }, '/mlflow/version', 200],
    [{ staticPrefix: '/mlflow' }, '/health', 403], [{ healthRoutes: '/ping' }, '/ping', 200], [{ healthRoutes: '/*' }, '/ping', 200],
    [{ healthRoutes: '/static-files/lib/notebook-trace-renderer/*' }, '/static-files/lib/notebook-trace-renderer/x', 200], [{ healthRoutes: [] }, '/health', 403]
  ] as const) {
    const { port } = await gateway(t, { upstream: target, ...options })
    t.equal((await request(port, 'GET', path, [evil])).status, status, `${path} ${JSON.stringify(options)}`)
    t.equal((await request(port, 'HEAD', path, [evil])).status, status, `HEAD ${path}`)
  }
})

t.test('the trace renderer of notebooks may be framed by anyone, nothing else', async t => {
  const target = await upstream(t, (_request, response) => { response.setHeader('x-frame-options', 'DENY').end('<p>') })
  for (const staticPrefix of ['', '/mlflow']) {
    const { port } = await gateway(t, { upstream: target, staticPrefix, frameAncestors: 'https://nb.company.com' })
    const headers = async (path: string) => (await request(port, 'GET', staticPrefix + path, [HOST])).headers
    const renderer = await headers('/static-files/lib/notebook-trace-renderer/index.html')
    t.notOk(renderer['x-frame-options'])
    t.notOk(renderer['content-security-policy'])
    t.equal((await headers('/static-files/index.html'))['x-frame-options'], 'SAMEORIGIN')
    t.equal((await headers('/'))['content-security-policy'], "frame-ancestors 'self' https://nb.company.com")
  }
})

t.test('exemptions are for the path as it is written', async t => {
  const { listener } = recorder()
  const target = await upstream(t, listener)
  for (const [options, path, isExempt] of [
    [{}, '/health', true], [{}, '/health?a=%20', true], [{}, '/%68ealth', false], [{}, '/health%2f..', false], [{}, '//health', false], [{}, '/health/', false],
    [{ staticPrefix: '/user/alice@example.com/proxy/absolute/5000' }, '/user/alice@example.com/proxy/absolute/5000/health', true],
    [{ staticPrefix: "/~a:b*c+(d),!$&'=;e" }, "/~a:b*c+(d),!$&'=;e/health", true], [{ staticPrefix: '/a*b' }, '/aXb/health', false],
    [{ staticPrefix: '/user/a%40b%2A/proxy' }, '/user/a%40b%2A/proxy/health', true], [{ staticPrefix: '/user/a%40b/proxy' }, '/user/a@b/proxy/health', false],
    [{ staticPrefix: '/user/a%40b/proxy' }, '/user/a%40b/proxy/%68ealth', false], [{ staticPrefix: '/user/a%40b/proxy' }, '/user/%61%40b/proxy/health', false],
    [{ staticPrefix: '/user/a%40b/proxy' }, '/user/a%40c/proxy/health', false], [{ staticPrefix: '/user/a@b/proxy' }, '/user/a%40b/proxy/health', false],
    [{ staticPrefix: '/a%2Fb' }, '/a%2Fb/health?c=%20', true], [{ staticPrefix: '/a%2Fb' }, '/a%2fb/health', false], [{ staticPrefix: '/a%2Fb' }, '/a/b/health', false],
    [{ staticPrefix: '/j%20d%C3%B6%F0%9F%98%80%25' }, '/j%20d%C3%B6%F0%9F%98%80%25/version', true], [{ staticPrefix: '/a%25' }, '/a%2525/version', false],
    [{ staticPrefix: '/:a' }, '/b/health', false], [{ staticPrefix: '/...' }, '/.../version', true]
  ] as const) {
    const { port } = await gateway(t, { upstream: target, ...options })
    t.equal((await request(port, 'GET', path, [EVIL])).status, isExempt ? 200 : 403, `${path} ${JSON.stringify(options)}`)
    t.equal((await request(port, 'GET', path, [HOST])).status, 200, `${path} is served`)
  }
  const { port } = await gateway(t, { upstream: target })
  const renderer = '/static-files/lib/notebook-trace-renderer'
  const frames = async (path: string) => (await request(port, 'GET', path, [HOST])).headers['x-frame-options']
  t.equal(await frames(`${renderer}/index.html`), undefined)
  t.equal(await frames(`${renderer}/..%2F..%2Findex.html`), 'SAMEORIGIN')

  const escaped = '/user/a%40b/proxy'
  const below = await gateway(t, { upstream: target, staticPrefix: escaped })
  const framesBelow = async (path: string) => (await request(below.port, 'GET', path, [HOST])).headers['x-frame-options']
  t.equal(await framesBelow(`${escaped}${renderer}/index.html`), undefined)
  for (const path of [`${escaped}${renderer}/..%2F..%2Findex.html`, `/user/a@b/proxy${renderer}/index.html`, `${escaped}/static-files%2Flib/notebook-trace-renderer/index.html`, `${escaped}/`]) {
    t.equal(await framesBelow(path), 'SAMEORIGIN', path)
  }
})

t.test('callback paths take form posts of other sites, and nothing else', async t => {
  const { seen, listener } = recorder()
  const { port } = await gateway(t, { upstream: await upstream(t, listener), callbackPaths: ['/callback, /saml:acs', '/x*y'], staticPrefix: '/mlflow' })
  const origin = ['Origin', 'https://login.example'] as const
  const form = ['Content-Type', 'application/x-www-form-urlencoded; charset=utf-8'] as const
  const post = async (path: string, ...headers: Array<readonly [string, string]>) => request(port, 'POST', path, [HOST, origin, ['Sec-Fetch-Site', 'cross-site'], ...headers])
  for (const path of ['/callback', '/callback?state=%20', '/saml:acs', '/x*y']) {
    const answer = await post(path, form)
    t.equal(answer.status, 200, path)
    t.notOk(answer.headers['access-control-allow-origin'], 'no right to read')
  }
  t.equal(seen.length, 4)
  for (const [path, headers] of [
    ['/callback/', [form]], ['/callback/x', [form]], ['/%63allback', [form]], ['/x1y', [form]], ['/callback', [['Content-Type', 'text/plain']]], ['/callback', []],
    ['/callback', [form, ['Upgrade', 'websocket'], ['Connection', 'upgrade']]], ['/', [form]]
  ] as const) t.equal((await post(path, ...headers)).status, 403, `${path} ${headers.join()}`)
  for (const method of ['PUT', 'OPTIONS'] as const) {
    t.equal((await request(port, method, '/callback', [HOST, origin, form, ['Access-Control-Request-Method', 'POST']])).status, 403, method)
  }
  t.equal((await request(port, 'POST', '/callback', [EVIL, origin, form])).status, 403, 'the Host is checked as ever')
  const escaped = await gateway(t, { upstream: await upstream(t, listener), callbackPaths: '/a%40b/callback', staticPrefix: '/a%40b' })
  for (const [path, status] of [['/a%40b/callback', 200], ['/a@b/callback', 403], ['/a%40b/%63allback', 403]] as const) {
    t.equal((await request(escaped.port, 'POST', path, [HOST, origin, form])).status, status, path)
  }
  t.throws(() => createGateway({ upstream: 'http://a', staticPrefix: '/a%40b', callbackPaths: '/a%40b/api/x' }), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' })
  for (const callbackPaths of ['callback', '/a/../b', '/a%20b', '/a?b', '//a', '/api', '/api/2.0/x', '/ajax-api/x', '/mlflow/api/x', '/mlflow/AJAX-api/x', '/a#b', '/a\\b', '/*/x?']) {
    t.throws(() => createGateway({ upstream: 'http://a', staticPrefix: '/mlflow', callbackPaths }), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message: /^callbackPaths \(--callback-paths\): / }, callbackPaths)
  }
})
