// Real Chromium against a real server. Every attack has its counter-test: it succeeds where the plugin is disabled, or
// the setting is the other one, so that a passing test means something.
import { request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import websocket from '@fastify/websocket'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import mlflowSecurity from '../../lib/index.js'
import type { MlflowSecurityOptions } from '../../types/index.js'
import { LAN, launchBrowser } from '../fixtures/chromium.js'
import { portOf } from '../fixtures/server.js'

const SECRET = 'the secret'
const PAGE = "<!doctype html><title>UI</title><script>parent.postMessage('framed', '*')</script>UI"
const OFF: MlflowSecurityOptions = { disableSecurityMiddleware: true }
const BLANK = '<!doctype html><title>attacker</title>'

// One red pixel.
const IMAGE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC'

interface Target {
  readonly port: number
  /** The methods of what has been written. */
  readonly writes: string[]
  readonly sockets: string[]
  /** What has been answered to requests that would write, their preflights among them. */
  readonly answers: string[]
}

let browser: Browser
t.before(async () => { browser = await launchBrowser() })
t.teardown(() => browser.close())

/** A server with a page, a secret, and things that may be changed. */
async function target (t: Test, options: MlflowSecurityOptions): Promise<Target> {
  const writes: string[] = []
  const sockets: string[] = []
  const answers: string[] = []
  const app = Fastify({ forceCloseConnections: true })
  await app.register(mlflowSecurity, options)
  app.addHook('onResponse', async ({ method, url }, { statusCode }) => { if (url === '/write') answers.push(`${method} ${statusCode}`) })
  await app.register(websocket)
  for (const type of ['application/x-www-form-urlencoded', 'text/plain']) app.addContentTypeParser(type, { parseAs: 'string' }, (_request, body, done) => done(null, body))
  app.get('/', (_request, reply) => { reply.type('text/html').send(PAGE) })
  app.get('/login', (_request, reply) => { reply.header('set-cookie', 'session=1; SameSite=Lax').type('text/html').send(PAGE) })
  app.get('/secret', request => ({ secret: SECRET, cookie: request.headers.cookie ?? '' }))
  // Stands in for the attacker's server, which answers for its name until that points at us.
  app.get('/attack', { config: { mlflowSecurity: false } }, (_request, reply) => { reply.type('text/html').send(BLANK) })
  app.get('/script', (_request, reply) => { reply.type('text/plain').send('window.leaked = true') })
  app.get('/image', (_request, reply) => { reply.type('image/png').send(Buffer.from(IMAGE, 'base64')) })
  app.route({ method: ['POST', 'PUT'], url: '/write', handler: request => { writes.push(request.method); return { written: true } } })
  // An app that says yes to every preflight, as careless ones do.
  app.options('/write', ({ headers: { origin = '' } }, reply) => {
    reply.headers({ 'access-control-allow-origin': origin, 'access-control-allow-methods': 'PUT', 'access-control-allow-headers': 'content-type' }).code(204).send()
  })
  app.get('/ws', { websocket: true }, socket => { sockets.push('open'); socket.send(SECRET) })
  return { port: await start(t, app), writes, sockets, answers }
}

/** Another site's server: it serves whatever page a test needs. */
async function site (t: Test, html = BLANK): Promise<number> {
  const app = Fastify({ forceCloseConnections: true })
  app.get('/*', (_request, reply) => { reply.type('text/html').send(html) })
  return start(t, app)
}

async function start (t: Test, app: FastifyInstance): Promise<number> {
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  return portOf(app)
}

async function open (t: Test, url: string): Promise<Page> {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.goto(url)
  return page
}

async function until (happens: () => boolean): Promise<void> {
  for (let i = 0; !happens() && i < 1000; i++) await wait(10)
}

/** Does what makes a page send a request that would write, and waits until that is answered. */
async function attempt ({ writes, answers }: Target, act: () => Promise<unknown>): Promise<{ first: string | undefined, written: number }> {
  const before = { writes: writes.length, answers: answers.length }
  await act()
  await until(() => answers.length > before.answers)
  return { first: answers[before.answers], written: writes.length - before.writes }
}

/** What a page reads of a URL: the body, or that it got none. */
function read (page: Page, url: string, init: RequestInit = {}): Promise<string> {
  return page.evaluate(async ([url, init]) => {
    try {
      const response = await fetch(url, init)
      return `${response.status} ${await response.text()}`
    } catch { return 'nothing' }
  }, [url, init] as const)
}

t.test('a page on a rebound name is not served, reads nothing and changes nothing', async t => {
  for (const [options, works] of [[{}, false], [OFF, true]] as const) {
    const { port, writes, sockets } = await target(t, options)
    const page = await open(t, `http://rebound.test:${port}/attack`)
    t.equal((await read(page, '/secret')).includes(SECRET), works, 'reads the secret')
    t.equal((await read(page, '/write', { method: 'POST' })).startsWith('200'), works, 'writes')
    t.equal(writes.length, works ? 1 : 0, 'the server has been written to')
    t.equal(await openSocket(page, `ws://rebound.test:${port}/ws`), works ? SECRET : 'nothing', 'opens a socket')
    t.equal(sockets.length, works ? 1 : 0)
    const response = await page.goto(`http://rebound.test:${port}/`)
    t.equal(response?.status(), works ? 200 : 403, 'is served')
  }
})

t.test('with hosts * a page on a rebound name reads, for nothing can tell it from others, and still changes nothing', async t => {
  const { port, writes, sockets } = await target(t, { allowedHosts: '*' })
  const page = await open(t, `http://rebound.test:${port}/`)
  t.match(await read(page, '/secret'), SECRET)
  t.match(await read(page, '/write', { method: 'POST' }), /^403 .*validation is off/)
  t.equal(await openSocket(page, `ws://rebound.test:${port}/ws`), 'nothing')
  t.same([writes, sockets], [[], []])
  t.match(await read(await open(t, `http://localhost:${port}/`), '/write', { method: 'POST' }), '200', 'localhost cannot be rebound')
})

t.test('another site changes nothing: form, fetch, beacon, top-level POST', async t => {
  for (const [options, works] of [[{}, false], [OFF, true]] as const) {
    const server = await target(t, options)
    const to = `http://localhost:${server.port}/write`
    const page = await open(t, `http://evil.test:${await site(t)}/`)
    const attacks: Array<[name: string, attack: () => Promise<unknown>]> = [
      ['fetch, no-cors', () => page.evaluate(to => fetch(to, { method: 'POST', mode: 'no-cors', body: 'x' }), to)],
      ['fetch, cors', () => read(page, to, { method: 'POST', body: 'x' })],
      ['fetch with a preflight', () => read(page, to, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{}' })],
      ['beacon', () => page.evaluate(to => navigator.sendBeacon(to, 'x'), to)],
      ['form in a frame', () => page.evaluate(to => {
        document.body.innerHTML = `<iframe name="f"></iframe><form method="post" action="${to}" target="f"><input name="a" value="b"></form>`
        document.forms[0]?.submit()
      }, to)],
      ['form in a sandboxed frame', () => page.evaluate(to => {
        document.body.innerHTML = '<iframe sandbox="allow-scripts allow-forms"></iframe>'
        const frame = document.querySelector('iframe')
        if (frame !== null) frame.srcdoc = `<form method="post" action="${to}"></form><script>document.forms[0].submit()</script>`
      }, to)],
      ['top-level form', async () => {
        await page.evaluate(to => { document.body.innerHTML = `<form method="post" action="${to}"><input name="a" value="b"></form>` }, to)
        await Promise.all([page.waitForNavigation(), page.evaluate(() => document.forms[0]?.submit())])
      }]
    ]
    for (const [name, attack] of attacks) {
      const { first, written } = await attempt(server, attack)
      t.match(first, works ? /20[04]$/ : /403$/, `${name}: ${first}`)
      t.equal(written, works ? 1 : 0, `${name}${works ? ', disabled' : ''}`)
    }
  }
})

t.test('the own page that another site sends back changes nothing: a redirect with 307', async t => {
  for (const [options, works] of [[{}, false], [OFF, true]] as const) {
    const server = await target(t, options)
    const app = Fastify({ forceCloseConnections: true })
    app.addContentTypeParser('application/x-www-form-urlencoded', (_request, _body, done) => done(null))
    app.post('/', (_request, reply) => { reply.redirect(`http://localhost:${server.port}/write`, 307) })
    const back = `http://evil.test:${await start(t, app)}/`
    const page = await open(t, `http://localhost:${server.port}/`)
    const { first, written } = await attempt(server, () => page.evaluate(back => {
      document.body.innerHTML = `<form method="post" action="${back}"></form>`
      document.forms[0]?.submit()
    }, back))
    t.equal(first, works ? 'POST 200' : 'POST 403')
    t.equal(written, works ? 1 : 0)
  }
})

t.test('another site reads nothing: fetch, script, image', async t => {
  const { port } = await target(t, {})
  const url = `http://localhost:${port}`
  const page = await open(t, `http://evil.test:${await site(t)}/`)
  t.equal(await read(page, `${url}/secret`), 'nothing')
  t.equal(await read(page, `${url}/secret`, { credentials: 'include' }), 'nothing')
  t.equal(await loadScript(page, `${url}/script`), 'error', 'nosniff keeps text from being run')
  t.equal(await page.evaluate(() => 'leaked' in window), false)
  t.equal(await readPixels(page, `${url}/image`), 'tainted')
  t.equal(await readPixels(page, `${url}/image`, 'anonymous'), 'error')

  const off = await target(t, OFF)
  t.equal(await loadScript(page, `http://localhost:${off.port}/script`), 'load', 'disabled')
  t.equal(await page.evaluate(() => 'leaked' in window), true, 'disabled')
  const anyone = await target(t, { corsAllowedOrigins: '*' })
  t.match(await read(page, `http://localhost:${anyone.port}/secret`), SECRET, 'origins *')
  t.equal(await readPixels(page, `http://localhost:${anyone.port}/image`, 'anonymous'), '255,0,0,255', 'origins *')
})

t.test('another site opens no WebSocket', async t => {
  for (const [options, works] of [[{}, false], [OFF, true]] as const) {
    const { port, sockets } = await target(t, options)
    const page = await open(t, `http://evil.test:${await site(t)}/`)
    t.equal(await openSocket(page, `ws://localhost:${port}/ws`), works ? SECRET : 'nothing')
    t.equal(sockets.length, works ? 1 : 0)
  }
  const { port } = await target(t, {})
  t.equal(await openSocket(await open(t, `http://localhost:${port}/`), `ws://localhost:${port}/ws`), SECRET, 'the own page does')
})

t.test('the own page writes: on localhost, on a LAN address over plain http, on an allowed name', async t => {
  const { port, writes } = await target(t, { allowedHosts: '@default,mlflow.test', corsAllowedOrigins: 'https://nobody.test' })
  for (const host of ['localhost', LAN, 'mlflow.test']) {
    const page = await open(t, `http://${host}:${port}/`)
    const sent = page.waitForRequest(request => request.method() === 'POST').then(request => request.allHeaders())
    t.match(await read(page, '/write', { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }), '200', host)
    t.equal('sec-fetch-site' in await sent, host === 'localhost', `${host}: the browser tells of the site only where it trusts the address`)
    await page.evaluate(() => { document.body.innerHTML = '<form method="post" action="/write"><input name="a" value="b"></form>' })
    const [response] = await Promise.all([page.waitForNavigation(), page.evaluate(() => document.forms[0]?.submit())])
    t.equal(response?.status(), 200, `${host}: a form`)
  }
  t.equal(writes.length, 6)
  const refused = await open(t, `http://localhost:${port}/`)
  t.equal(await read(refused, `http://127.0.0.1:${port}/write`, { method: 'POST' }), 'nothing', 'another address of the same server is another origin')
  t.equal(writes.length, 6)
})

t.test('an allowed app reads and writes with credentials, preflight included; another does not', async t => {
  const appPort = await site(t)
  const { port, writes } = await target(t, { allowedHosts: 'mlflow.company.test', corsAllowedOrigins: `http://app.company.test:${appPort}` })
  const url = `http://mlflow.company.test:${port}`
  const page = await open(t, `${url}/login`)
  await page.goto(`http://app.company.test:${appPort}/`)
  t.match(await read(page, `${url}/secret`, { credentials: 'include' }), '"cookie":"session=1"')
  const json = { method: 'PUT', credentials: 'include', headers: { 'content-type': 'application/json', 'x-custom': '1' }, body: '{}' } as const
  t.match(await read(page, `${url}/write`, json), '200')
  t.same(writes, ['PUT'])

  await page.goto(`http://other.company.test:${appPort}/`)
  t.equal(await read(page, `${url}/secret`, { credentials: 'include' }), 'nothing')
  t.equal(await read(page, `${url}/write`, json), 'nothing')
  t.same(writes, ['PUT'])
})

t.test('origins *: an app reads without credentials, and fails with', async t => {
  const { port, writes } = await target(t, { corsAllowedOrigins: '*' })
  const page = await open(t, `http://app.test:${await site(t)}/`)
  t.match(await read(page, `http://localhost:${port}/secret`), SECRET)
  t.match(await read(page, `http://localhost:${port}/write`, { method: 'PUT' }), '200')
  t.equal(writes.length, 1)
  t.equal(await read(page, `http://localhost:${port}/secret`, { credentials: 'include' }), 'nothing')
})

t.test('the own page behind a proxy that rewrites the Host writes where the browser says whose page it is', async t => {
  const server = await target(t, { allowedHosts: 'localhost,mlflow.internal,mlflow.test' })
  const proxy = await startProxy(t, server.port, 'mlflow.internal')
  t.match(await read(await open(t, `http://localhost:${proxy}/`), '/write', { method: 'POST' }), '200')
  t.match(await read(await open(t, `http://mlflow.test:${proxy}/`), '/write', { method: 'POST' }), /^403 .*CROSS_ORIGIN/, 'over plain http it says nothing')
  const page = await open(t, `http://evil.test:${await site(t)}/`)
  await attempt(server, () => read(page, `http://localhost:${proxy}/write`, { method: 'POST' }))
  t.same(server.answers, ['POST 200', 'POST 403', 'POST 403'])
})

t.test('a sandboxed frame of the own page is refused: Origin null', async t => {
  for (const [options, works] of [[{}, false], [OFF, true]] as const) {
    const server = await target(t, options)
    const page = await open(t, `http://localhost:${server.port}/`)
    const { first, written } = await attempt(server, () => page.evaluate(() => {
      const frame = document.createElement('iframe')
      frame.setAttribute('sandbox', 'allow-scripts allow-forms')
      frame.srcdoc = '<form method="post" action="/write"><input name="a" value="b"></form><script>document.forms[0].submit()</script>'
      document.body.append(frame)
    }))
    t.equal(first, works ? 'POST 200' : 'POST 403')
    t.equal(written, works ? 1 : 0)
  }
})

t.test('a form of the own page that hides its Origin passes: Referrer-Policy no-referrer', async t => {
  const server = await target(t, {})
  const page = await open(t, `http://localhost:${server.port}/`)
  const sent = page.waitForRequest(request => request.method() === 'POST').then(request => request.allHeaders())
  const { first } = await attempt(server, () => page.evaluate(() => {
    document.body.innerHTML = '<meta name="referrer" content="no-referrer"><form method="post" action="/write"><input name="a" value="b"></form>'
    document.forms[0]?.submit()
  }))
  t.equal((await sent).origin, 'null', 'this is what it stands or falls with')
  t.equal(first, 'POST 200')
})

t.test('frames: SAMEORIGIN, DENY, NONE and frameAncestors', async t => {
  const framer = await site(t)
  const cases: Array<[options: MlflowSecurityOptions, own: boolean, notebook: boolean, evil: boolean]> = [
    [{}, true, false, false],
    [{ xFrameOptions: 'DENY' }, false, false, false],
    [{ xFrameOptions: 'NONE' }, true, true, true],
    [{ frameAncestors: `http://notebook.test:${framer}` }, true, true, false],
    [{ frameAncestors: 'http://*.test:*' }, true, true, true],
    [OFF, true, true, true]
  ]
  for (const [options, own, notebook, evil] of cases) {
    const { port } = await target(t, options)
    const from: Array<[url: string, framed: boolean]> = [
      [`http://localhost:${port}/secret`, own], [`http://notebook.test:${framer}/`, notebook], [`http://evil.test:${framer}/`, evil]
    ]
    for (const [url, framed] of from) {
      t.equal(await frames(await open(t, url), `http://localhost:${port}/`), framed, `${JSON.stringify(options)} in ${new URL(url).hostname}`)
    }
  }
})

function frames (page: Page, url: string): Promise<boolean> {
  return page.evaluate(url => new Promise<boolean>(resolve => {
    addEventListener('message', ({ data }) => { if (data === 'framed') resolve(true) })
    const frame = document.createElement('iframe')
    // A refused frame loads an error page and says nothing.
    frame.onload = () => setTimeout(() => resolve(false), 100)
    frame.src = url
    document.body.append(frame)
  }), url)
}

function loadScript (page: Page, url: string): Promise<string> {
  return page.evaluate(url => new Promise<string>(resolve => {
    const script = document.createElement('script')
    script.onload = () => resolve('load')
    script.onerror = () => resolve('error')
    script.src = url
    document.body.append(script)
  }), url)
}

/** What a page reads of an image: its first pixel, `tainted` where it may only show it, or `error` where it does not load. */
function readPixels (page: Page, url: string, crossOrigin: string | null = null): Promise<string> {
  return page.evaluate(([url, crossOrigin]) => new Promise<string>(resolve => {
    const image = new Image()
    image.crossOrigin = crossOrigin
    image.onerror = () => resolve('error')
    image.onload = () => {
      const context = document.createElement('canvas').getContext('2d')
      context?.drawImage(image, 0, 0)
      try {
        resolve(String(context?.getImageData(0, 0, 1, 1).data))
      } catch { resolve('tainted') }
    }
    image.src = url
  }), [url, crossOrigin] as const)
}

/** A proxy that calls the server by another name. */
function startProxy (t: Test, port: number, host: string): Promise<number> {
  const app = Fastify({ forceCloseConnections: true })
  app.addContentTypeParser('*', (_request, _body, done) => done(null))
  app.all('/*', (incoming, reply) => {
    reply.hijack()
    const { method, url, headers } = incoming
    incoming.raw.pipe(request({ port, host: '127.0.0.1', method, path: url, headers: { ...headers, host } }, answer => {
      answer.pipe(reply.raw.writeHead(answer.statusCode ?? 0, answer.headers))
    }))
  })
  return start(t, app)
}

function openSocket (page: Page, url: string): Promise<string> {
  return page.evaluate(url => new Promise<string>(resolve => {
    const socket = new WebSocket(url)
    socket.onmessage = ({ data }) => { resolve(String(data)); socket.close() }
    socket.onerror = () => resolve('nothing')
  }), url)
}
