// What the plugin adds to a request: bare Fastify, a floor (the same two headers written down, @fastify/cors with a
// function) and ours take turns in one process, so that the ratios hold on a noisy machine. The figure is the median
// of the rounds with their quartiles.
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import cors from '@fastify/cors'
import Fastify from 'fastify'
import mlflowSecurity from '../dist/index.js'

const ROUNDS = 41
const REQUESTS = 2000

const socket = new Socket()

const apps = {
  bare: await app(() => {}),
  floor: await app(fastify => {
    fastify.addHook('onRequest', (request, reply, done) => {
      reply.header('x-content-type-options', 'nosniff')
      reply.header('x-frame-options', 'SAMEORIGIN')
      done()
    })
    fastify.register(cors, {
      credentials: true,
      strictPreflight: false,
      origin: (origin, callback) => callback(null, origin === 'https://app.company.com')
    })
  }),
  ours: await app(fastify => fastify.register(mlflowSecurity, {
    allowedHosts: 'mlflow.company.com', corsAllowedOrigins: 'https://app.company.com'
  }))
}

const host = { host: 'mlflow.company.com' }
const requests = {
  'GET without Origin': ['GET', host],
  'GET, allowed Origin': ['GET', { ...host, origin: 'https://app.company.com' }],
  'POST, allowed Origin': ['POST', { ...host, origin: 'https://app.company.com' }],
  'POST, own page': ['POST', { ...host, origin: 'https://mlflow.company.com', 'sec-fetch-site': 'same-origin' }],
  preflight: ['OPTIONS', { ...host, origin: 'https://app.company.com', 'access-control-request-method': 'POST' }]
}

console.log(`Node ${process.version}, ${ROUNDS} rounds of ${REQUESTS} requests; cost as a multiple of bare Fastify (quartiles)\n`)
console.log('| request | floor | ours | added, ours : floor |')
console.log('|---|---|---|---|')
for (const [name, [method, headers]] of Object.entries(requests)) {
  const times = { bare: [], floor: [], ours: [] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of Object.keys(times)) times[kind].push(time(apps[kind], method, headers))
  }
  const over = kind => quartiles(times[kind].map((t, i) => t / times.bare[i]))
  const added = quartiles(times.ours.map((t, i) => (t - times.bare[i]) / (times.floor[i] - times.bare[i])))
  console.log(`| ${name} | ${over('floor')} | ${over('ours')} | ${added} |`)
}

async function app (setUp) {
  const fastify = Fastify()
  setUp(fastify)
  await fastify.after()
  const route = { url: '/', handler: (request, reply) => { reply.send('ok') } }
  fastify.route({ method: ['GET', 'POST'], ...route })
  if (!fastify.hasRequestDecorator('corsPreflightEnabled')) fastify.route({ method: 'OPTIONS', ...route })
  await fastify.ready()
  return fastify
}

function time (fastify, method, headers) {
  const start = process.hrtime.bigint()
  for (let i = 0; i < REQUESTS; i++) handle(fastify, method, headers)
  return Number(process.hrtime.bigint() - start) / REQUESTS
}

function handle (fastify, method, headers) {
  const request = new IncomingMessage(socket)
  Object.assign(request, { method, url: '/', headers, rawHeaders: Object.entries(headers).flat(), httpVersion: '1.1' })
  fastify.routing(request, new ServerResponse(request))
}

function quartiles (values) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = share => sorted[Math.floor(share * (sorted.length - 1))].toFixed(2)
  return `${at(0.5)} (${at(0.25)}–${at(0.75)})`
}
