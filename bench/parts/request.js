// What a request costs, in process: bare Fastify, the three headers written down, a floor (two of them, and @fastify/cors with
// a function), the plugin, the job assembled from today's packages, and the MCP SDK's hooks for the part they do.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import middie from '@fastify/middie'
import { hostHeaderValidation, originValidation } from '@modelcontextprotocol/fastify'
import Fastify from 'fastify'
import { hostValidationMiddleware } from 'host-validation-middleware'
import mlflowSecurity from '../../dist/index.js'
import { added, ratio, show, spread, table, takeTurns, target } from '../harness.js'

const REQUESTS = 5000
const CHUNK = 50
const HOST = 'mlflow.company.com'
const APP = 'https://app.company.com'
const socket = new Socket()

const host = { host: HOST }
const passing = {
  'GET without Origin': ['GET', host],
  'GET, allowed Origin': ['GET', { ...host, origin: APP }],
  'POST, allowed Origin': ['POST', { ...host, origin: APP }],
  'POST, own page': ['POST', { ...host, origin: `https://${HOST}`, 'sec-fetch-site': 'same-origin' }],
  preflight: ['OPTIONS', { ...host, origin: APP, 'access-control-request-method': 'POST' }]
}
/** What the plugin may add: as a multiple of what three headers add, a floor, and the assembled job. */
const limits = {
  'GET without Origin': { headers: 1.6, floor: 0.95, assembled: 0.3 },
  'GET, allowed Origin': { headers: 4, floor: 1.15, assembled: 0.5 },
  'POST, allowed Origin': { headers: 4, floor: 1.15, assembled: 0.5 },
  'POST, own page': { headers: 1.7, floor: 0.95, assembled: 0.3 },
  preflight: { floor: 1.5, assembled: 1 }
}
const refused = {
  'GET, refused Host': ['GET', { host: 'evil.com' }],
  'POST, refused Origin': ['POST', { ...host, origin: 'https://evil.com' }]
}

const setUps = {
  bare () {},
  headers (app) {
    app.addHook('onRequest', (_request, reply, done) => {
      reply.header('x-content-type-options', 'nosniff')
      reply.header('x-frame-options', 'SAMEORIGIN')
      reply.header('vary', 'Origin')
      done()
    })
  },
  floor (app) {
    app.addHook('onRequest', (_request, reply, done) => {
      reply.header('x-content-type-options', 'nosniff')
      reply.header('x-frame-options', 'SAMEORIGIN')
      done()
    })
    app.register(cors, { credentials: true, strictPreflight: false, origin: (origin, callback) => callback(null, origin === APP) })
  },
  ours (app) { app.register(mlflowSecurity, { allowedHosts: HOST, corsAllowedOrigins: APP }) },
  async assembled (app) {
    await app.register(middie)
    app.use(hostValidationMiddleware({ allowedHosts: Object.freeze([HOST]) }))
    await app.register(cors, { credentials: true, strictPreflight: false, origin: [APP] })
    await app.register(helmet, {
      global: true,
      contentSecurityPolicy: false,
      crossOriginEmbedderPolicy: false,
      crossOriginOpenerPolicy: false,
      crossOriginResourcePolicy: false,
      dnsPrefetchControl: false,
      hidePoweredBy: false,
      hsts: false,
      ieNoOpen: false,
      noSniff: false,
      originAgentCluster: false,
      permittedCrossDomainPolicies: false,
      referrerPolicy: false,
      xssFilter: false,
      frameguard: { action: 'sameorigin' }
    })
  },
  mcp (app) {
    app.addHook('onRequest', hostHeaderValidation([HOST]))
    app.addHook('onRequest', originValidation([HOST, new URL(APP).hostname]))
  }
}

export async function run ({ rounds }) {
  const apps = {}
  for (const [name, setUp] of Object.entries(setUps)) apps[name] = await createApp(setUp)
  const rows = []
  const targets = []
  const micros = {}
  for (const [name, [method, headers]] of Object.entries(passing)) {
    const values = await takeTurns(variants(apps, method, headers), rounds)
    const cells = ['headers', 'floor', 'ours', 'assembled', 'mcp'].map(kind => show(ratio(values, kind, 'bare')))
    const shares = ['headers', 'floor', 'assembled'].map(kind => [kind, added(values, 'ours', kind, 'bare')])
    rows.push([name, ...cells, ...shares.map(([, share]) => show(share))])
    micros[name] = spread(values.ours.map((value, i) => value - values.bare[i])).median / 1000
    for (const [kind, { median }] of shares) {
      if (kind in limits[name]) targets.push(target(`added cost, ours : ${kind}, ${name}`, median, limits[name][kind]))
    }
  }

  const ordinary = await takeTurns({
    bare: () => time(apps.bare, ...passing['GET without Origin'], '/runs'),
    plugin: () => time(apps.ours, ...passing['GET without Origin'], '/runs')
  }, rounds)

  // With a log, as in production.
  const logged = await createApp(setUps.ours, { level: 'info', stream: { write () {} } })
  const loggedVariants = { served: () => time(logged, 'GET', host, '/runs') }
  for (const [name, request] of Object.entries(refused)) loggedVariants[name] = () => time(logged, ...request)
  const values = await takeTurns(loggedVariants, rounds)
  const refusals = Object.keys(refused).map(name => {
    const cost = ratio(values, name, 'served')
    targets.push(target(`refused : served, ${name}`, cost.median, 1))
    return [name, show(cost)]
  })

  return {
    title: 'A request, in process',
    text: [
      'Processor time as a multiple of bare Fastify: *three headers* written down in a hook (nosniff, X-Frame-Options, Vary), a *floor* (two of ' +
      'them, and `@fastify/cors` with a function), this plugin, the job *assembled* from `@fastify/middie`, `host-validation-middleware`, `@fastify/cors` and `@fastify/helmet` (which checks no Origin of a ' +
      'write), and the hooks of the *MCP SDK* (hosts and origins; no CORS, no frames). The last columns: what this plugin adds, as a multiple of ' +
      'what the other adds.',
      table(['request', 'three headers', 'floor', 'this plugin', 'assembled', 'MCP SDK', 'added, to three headers\'', 'added, to the floor\'s',
        'added, to the assembled\'s'], rows),
      `In microseconds of this machine: a GET without Origin takes ${micros['GET without Origin'].toFixed(1)} more, a POST of the own page ` +
      `${micros['POST, own page'].toFixed(1)}, a POST of a listed app ${micros['POST, allowed Origin'].toFixed(1)}. An ordinary handler, which answers ` +
      `with 20 runs as JSON, takes ${(spread(ordinary.bare).median / 1000).toFixed(0)} with Fastify alone, in process and without a socket, and ` +
      `${show(ratio(ordinary, 'plugin', 'bare'))} of that with the plugin.`,
      'A refused request as a multiple of a served one (a GET that answers with 20 runs as JSON), both with a log:',
      table(['request', 'cost'], refusals)
    ],
    targets,
    chart: chartOf(rows)
  }
}

function chartOf (rows) {
  const [, headers, floor, ours, assembled, mcp] = rows[2]
  return [['bare Fastify', '1.00'], ['three headers', headers], ['floor', floor], ['fastify-mlflow-security', ours], ['MCP SDK hooks', mcp], ['assembled from packages', assembled]]
    .map(([name, value]) => ({ name, value: Number.parseFloat(value) }))
}

async function createApp (setUp, logger = false) {
  const app = Fastify({ logger })
  await setUp(app)
  await app.after()
  const route = { url: '/', handler: (_request, reply) => { reply.send('ok') } }
  app.route({ method: ['GET', 'POST'], ...route })
  if (!app.hasPlugin('@fastify/cors')) app.route({ method: 'OPTIONS', ...route })
  const runs = Array.from({ length: 20 }, (_, i) => ({ run_id: `run-${i}`, status: 'FINISHED', metrics: { loss: i / 10 } }))
  app.get('/runs', (_request, reply) => { reply.send({ runs }) })
  await app.ready()
  return app
}

function variants (apps, method, headers) {
  return Object.fromEntries(Object.entries(apps).map(([name, app]) => [name, () => time(app, method, headers)]))
}

/**
 * Nanoseconds a request, in chunks: some of these answer later. Of the processor's time, which other programs on the machine
 * do not lengthen.
 */
async function time (app, method, headers, url = '/') {
  const rawHeaders = Object.entries(headers).flat()
  const start = process.cpuUsage()
  for (let sent = 0; sent < REQUESTS; sent += CHUNK) await send(app, { method, url, headers, rawHeaders, httpVersion: '1.1' })
  const { user, system } = process.cpuUsage(start)
  return (user + system) * 1000 / REQUESTS
}

function send (app, head) {
  return new Promise(resolve => {
    let open = CHUNK
    const ended = () => { if (--open === 0) resolve() }
    for (let i = 0; i < CHUNK; i++) {
      const request = new IncomingMessage(socket)
      Object.assign(request, head)
      app.routing(request, new Response(request, ended))
    }
  })
}

class Response extends ServerResponse {
  #ended

  constructor (request, ended) {
    super(request)
    this.#ended = ended
  }

  end (...parameters) {
    super.end(...parameters)
    this.#ended()
    return this
  }
}
