// Real Chromium, real nginx: whose page is the server's own where Origin and Host look alike. The browser's word decides, and the
// own page goes on working in each set-up.
import type { RequestListener } from 'node:http'
import Fastify from 'fastify'
import websocket from '@fastify/websocket'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { launchBrowser } from '../fixtures/chromium.js'
import { freePort } from '../fixtures/free-port.js'
import { startNginx } from '../fixtures/nginx.js'
import { listen } from '../fixtures/server.js'
import { certificate, tlsUpstream, upstream } from '../fixtures/upstream.js'

const SOCKET = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrade_or_close;'

interface SetUp {
  readonly name: string
  /** Where the own page is. */
  readonly own: string
  /** Where the attacker's page is; `PORT` is the upstream's. */
  readonly attacker: string
  /** nginx's lines about the Host. */
  readonly proxy: string
  readonly trustProxy: boolean
  /** What becomes of sockets, with which Chromium sends no Sec-Fetch-Site. */
  readonly sockets: { readonly own: boolean, readonly attacker: boolean }
}

const SET_UPS: SetUp[] = [
  {
    name: 'an http page of the https site of the same name; https is not known to the server',
    own: 'https://app.test',
    attacker: 'http://app.test',
    proxy: 'proxy_set_header Host $http_host;',
    trustProxy: false,
    sockets: { own: true, attacker: true }
  },
  {
    name: 'an http page of the https site of the same name; a trusted proxy says https',
    own: 'https://app.test',
    attacker: 'http://app.test',
    proxy: 'proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For $remote_addr;',
    trustProxy: true,
    sockets: { own: true, attacker: false }
  },
  {
    name: 'another service on the same name; the proxy drops the port of the Host',
    own: 'https://app.test:8443',
    attacker: 'https://app.test',
    proxy: 'proxy_set_header Host $host;',
    trustProxy: false,
    sockets: { own: false, attacker: true }
  },
  {
    name: 'another service on the same name; the proxy passes the Host on as it came',
    own: 'https://app.test:8443',
    attacker: 'https://app.test',
    proxy: 'proxy_set_header Host $http_host;',
    trustProxy: false,
    sockets: { own: true, attacker: false }
  },
  {
    name: "a page on the upstream's own address; the proxy sends that as the Host",
    own: 'https://app.test',
    attacker: 'http://127.0.0.1:PORT',
    proxy: '',
    trustProxy: false,
    sockets: { own: false, attacker: true }
  }
]

for (const { name, own, attacker, proxy, trustProxy, sockets } of SET_UPS) {
  t.test(name, async t => {
    const answers: string[] = []
    const server = await protectedApp(t, trustProxy, answers)
    const from = attacker.replace('PORT', String(server))
    const attackers = await attackersSite(t, from.startsWith('https'))
    const tls = await freePort()
    await startNginx(t, tls, `server {
      listen 127.0.0.1:${tls} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;
      location / { proxy_pass http://127.0.0.1:${server}; ${proxy} ${SOCKET} }
    }`, await pem())

    const browser = await launchBrowser({ [authority(own)]: tls, [authority(from)]: attackers })
    t.teardown(() => browser.close())
    const context = await browser.newContext({ ignoreHTTPSErrors: true })

    const mine = await context.newPage()
    await mine.goto(`${own}/`)
    t.equal(await write(mine, `${own}/write`), '200', 'the own page writes')
    t.equal(await openSocket(mine, `${own.replace('https', 'wss')}/ws`), sockets.own, "the own page's socket")

    const evil = await context.newPage()
    await evil.goto(`${from}/`)
    t.match(await evil.content(), 'attacker', 'the page is the attacker\'s')
    answers.length = 0
    await write(evil, `${own}/write`)
    t.same(answers, ['403'], "the attacker's page does not")
    t.equal(await openSocket(evil, `${own.replace('https', 'wss')}/ws`), sockets.attacker, "the attacker's socket")
  })
}

async function protectedApp (t: Test, trustProxy: boolean, answers: string[]): Promise<number> {
  const app = Fastify({ forceCloseConnections: true, trustProxy: trustProxy ? '127.0.0.1' : false })
  await app.register(mlflowSecurity, { allowedHosts: '@default,app.test', corsAllowedOrigins: 'https://other.test' })
  await app.register(websocket)
  app.addHook('onResponse', async ({ url }, { statusCode }) => { if (url === '/write') answers.push(String(statusCode)) })
  app.addContentTypeParser('text/plain', (_request, _body, done) => done(null))
  app.get('/', (_request, reply) => { reply.type('text/html').send('<!doctype html>own') })
  app.post('/write', async () => 'written')
  app.get('/ws', { websocket: true }, socket => { socket.send('open') })
  t.teardown(() => app.close())
  return listen(app)
}

async function attackersSite (t: Test, https: boolean): Promise<number> {
  const page: RequestListener = (_request, response) => { response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>attacker') }
  const url = https ? await tlsUpstream(t, page, certificate()) : await upstream(t, page)
  return Number(new URL(url).port)
}

async function pem (): Promise<Record<string, string>> {
  const { cert, key } = certificate()
  return { 'cert.pem': cert, 'key.pem': key }
}

/** As the browser's resolver has it: with the port. */
function authority (url: string): string {
  const { hostname, port, protocol } = new URL(url)
  return `${hostname}:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}`
}

/** A request that needs no preflight, as any page may send it. */
function write (page: Page, url: string): Promise<string> {
  return page.evaluate(async url => {
    const own = new URL(url).origin === location.origin
    const { status } = await fetch(url, { method: 'POST', body: 'x', mode: own ? 'cors' : 'no-cors' })
    return String(status)
  }, url)
}

function openSocket (page: Page, url: string): Promise<boolean> {
  return page.evaluate(url => new Promise<boolean>(resolve => {
    const socket = new WebSocket(url)
    socket.onmessage = () => { resolve(true); socket.close() }
    socket.onerror = () => resolve(false)
  }), url)
}
