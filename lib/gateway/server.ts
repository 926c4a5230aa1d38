import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { maxHeaderSize } from 'node:http'
import type { Server, ServerOptions } from 'node:http'
import type { SecureServerOptions } from 'node:http2'
import type { Socket } from 'node:net'
import Fastify from 'fastify'
import type { FastifyHttpOptions, FastifyInstance } from 'fastify'
import { invalidOption } from '../settings/errors.js'
import { isHttp2 } from './answer.js'
import { HeadersTooLargeError } from './errors.js'
import type { GatewayOptions } from './options.js'
import { isWebSocket } from './upgrade.js'

const TRUST_PROXY = {
  name: 'trustProxy (--trust-proxy)',
  allowed: 'addresses and ranges of the proxies in front (127.0.0.1, 10.0.0.0/8), loopback, linklocal, uniquelocal'
}

type HttpOptions = ServerOptions & { shouldUpgradeCallback: typeof isWebSocket }

/**
 * Makes an app whose server suits a gateway: offers of h2c are ignored, bodies and answers have no time limit, HTTP/2 is served
 * beside HTTP/1.1 if there is a certificate, and the framework sends no 503 of its own while it ends.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION if `trustProxy` is wrong
 */
export function createApp ({ fastify, tls }: GatewayOptions): FastifyInstance {
  const http: HttpOptions = { shouldUpgradeCallback: isWebSocket, ...fastify?.http }
  const options: FastifyHttpOptions<Server> = { return503OnClosing: false, ...fastify, http }
  // Such a server speaks HTTP/1.1 as well, and the app's types know it as that.
  if (tls !== undefined) {
    const https = { allowHTTP1: true, ...HTTP2_LIMITS, ...lasting(options), ...tls, ...http }
    Object.assign(options, { http2: true, https })
  }
  try {
    const app = Fastify(options)
    // Node ignores some of these as options of a server that also speaks HTTP/2. Node 20 cut uploads off after five minutes.
    if (tls !== undefined) Object.assign(app.server, lasting(options), { shouldUpgradeCallback: http.shouldUpgradeCallback })
    return app
  } catch (error) {
    // Fastify's error for a wrong trustProxy names neither the option nor the value.
    if (!(error instanceof TypeError) || !/^invalid (IP address|range)/.test(error.message)) throw error
    throw invalidOption(TRUST_PROXY, options.trustProxy, `has an ${error.message}`)
  }
}

/** Fastify sets these on an HTTP/1.1 server, but not on one that also speaks HTTP/2. */
function lasting ({ keepAliveTimeout = 72_000, requestTimeout = 0 }: FastifyHttpOptions<Server>): ServerOptions {
  return { keepAliveTimeout, requestTimeout }
}

/** As many streams of a connection as Go's servers allow. Each may need a connection to the upstream. */
const MOST_STREAMS = 250
/** Node allows 128. Browsers send each cookie as a header, and keep up to 180 of a site. */
const MOST_HEADERS = 256

const HTTP2_LIMITS: SecureServerOptions = { settings: { maxConcurrentStreams: MOST_STREAMS }, maxHeaderListPairs: MOST_HEADERS }

/**
 * Limits the headers of HTTP/2 requests as Node limits those of HTTP/1.1. A few bytes can repeat a header of 4,000. Node has a
 * setting for this, but it ignores it until the client has acknowledged it, which an attacker's client does not do.
 *
 * @param app - without other hooks yet
 */
export function limitHttp2Headers (app: FastifyInstance, most = maxHeaderSize): void {
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    done(isHttp2(raw) && sizeOf(raw.rawHeaders) > most ? new HeadersTooLargeError() : undefined)
  })
}

function sizeOf (rawHeaders: readonly string[]): number {
  let size = 0
  for (const text of rawHeaders) size += text.length
  return size
}

/**
 * When Fastify closes, it closes the connections that are idle at that moment. Some would still keep it from ending: those that
 * become idle later, and those that were never used, which browsers and load balancers keep ready.
 */
export function hangUpWhenClosing (app: FastifyInstance, isSecure: boolean): void {
  const { server } = app
  const unused = new Set<Socket>()
  const known = new WeakSet<Socket>()
  const sessions = new Set<{ close (): void }>()
  server.on(isSecure ? 'secureConnection' : 'connection', (socket: Socket) => {
    if ('alpnProtocol' in socket && socket.alpnProtocol === 'h2') return // a session ends itself
    if (known.has(socket)) return // an offer of h2c comes as the same connection again (upgrade.ts)
    known.add(socket)
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  server.on('session', session => { sessions.add(session); session.once('close', () => sessions.delete(session)) })
  for (const event of ['request', 'checkContinue', 'upgrade']) {
    server.prependListener(event, ({ socket }: { readonly socket: Socket }) => { unused.delete(socket) })
  }
  app.addHook('preClose', done => {
    for (const socket of unused) socket.destroy()
    for (const session of sessions) session.close()
    // Node reports the end of each answer. One turn of the event loop later, it counts the connection as idle.
    const onFinish = (message: unknown): void => {
      if (isOf(message, server)) setImmediate(() => server.closeIdleConnections())
    }
    subscribe(FINISHED, onFinish)
    server.once('close', () => { unsubscribe(FINISHED, onFinish) })
    done()
  })
}

/** Node's own channel (`diagnostics_channel`, "Built-in Channels"). */
const FINISHED = 'http.server.response.finish'

function isOf (message: unknown, server: object): boolean {
  return typeof message === 'object' && message !== null && 'server' in message && message.server === server
}
