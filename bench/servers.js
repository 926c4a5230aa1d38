// The servers that are measured over the wire, each in a process of its own: node bench/servers.js NAME [UPSTREAM]
import { once } from 'node:events'
import { createServer } from 'node:http'
import httpProxy from '@fastify/http-proxy'
import Fastify from 'fastify'
import { Pool } from 'undici'
import { createGateway } from '../dist/gateway.js'
import mlflowSecurity from '../dist/index.js'

// The log is written as in production, to nowhere.
const [name, upstream, level = 'info'] = process.argv.slice(2)
const logger = { level, stream: { write () {} } }
const runs = Array.from({ length: 20 }, (_, i) => ({ run_id: `run-${i}`, status: 'FINISHED', metrics: { loss: i / 10 } }))
const chunk = Buffer.alloc(1 << 16, 'x')

const servers = {
  bare: () => withRuns(Fastify({ logger })),
  headers: () => {
    const app = Fastify({ logger })
    app.addHook('onRequest', (_request, reply, done) => {
      reply.header('x-content-type-options', 'nosniff')
      reply.header('x-frame-options', 'SAMEORIGIN')
      reply.header('vary', 'Origin')
      done()
    })
    return withRuns(app)
  },
  ours: async () => {
    const app = Fastify({ logger })
    await app.register(mlflowSecurity)
    return withRuns(app)
  },
  proxy: async () => {
    const app = Fastify({ logger })
    await app.register(httpProxy, { upstream, disableRequestLogging: true })
    return listen(app)
  },
  gateway: () => listen(createGateway({ upstream, fastify: { logger } })),
  // What no gateway on Node can go below: the same HTTP client on a bare server, without routes, checks, log or care for errors.
  floor: () => {
    const pool = new Pool(upstream)
    return listenBare((request, response) => {
      pool.dispatch({ path: request.url, method: request.method, headers: request.rawHeaders, body: null }, {
        onRequestStart () {},
        onResponseStart (controller, status) { response.writeHead(status, controller.rawHeaders.map(String)) },
        onResponseData (controller, data) {
          if (response.write(data)) return
          controller.pause()
          response.once('drain', () => controller.resume())
        },
        onResponseEnd () { response.end() },
        onResponseError (_controller, error) { throw error }
      })
    })
  },
  upstream: () => {
    return listenBare((request, response) => {
      const size = Number(new URL(request.url, 'http://localhost').searchParams.get('size'))
      if (request.url.startsWith('/events')) return response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
      if (request.method === 'PUT') return request.on('end', () => response.end('ok')).resume()
      response.writeHead(200, { 'content-type': size > 0 ? 'application/octet-stream' : 'application/json', ...(size > 0 ? { 'content-length': size } : {}) })
      if (size > 0) pump(response, size)
      else response.end(JSON.stringify({ runs }))
    })
  }
}

async function listenBare (handler) {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server.address().port
}

async function withRuns (app) {
  app.get('/runs', async () => ({ runs }))
  app.post('/runs', async () => ({ created: true }))
  return listen(app)
}

async function listen (app) {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app.server.address().port
}

function pump (to, left) {
  while (left > 0) {
    left -= chunk.length
    if (!to.write(left < 0 ? chunk.subarray(0, left) : chunk)) return to.once('drain', () => pump(to, left))
  }
  to.end()
}

process.on('disconnect', () => process.exit())
// What this process holds, asked for by the measuring one.
process.on('message', message => {
  if (message === 'memory') process.send({ memory: process.memoryUsage() })
  if (message === 'cpu') process.send({ cpu: process.cpuUsage() })
})
process.send({ port: await servers[name]() })
