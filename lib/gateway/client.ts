import type { EventEmitter } from 'node:events'
import type { Agent, Dispatcher, buildConnector } from 'undici'
import { loadOptional } from './optional.js'
import type { Upstream } from './options.js'

/** Where a request's headers carry the signal that ends it: the proxy hands nothing else through to the client. */
export const SIGNAL = Symbol('signal')

/** What `@fastify/http-proxy` sends requests with. */
export interface UpstreamClient {
  readonly request: Dispatcher['request']
  close (): Promise<void>
}

/** gunicorn closes idle connections after two seconds: a request on one that is just being closed would fail. */
const KEEP_ALIVE = 1500

/**
 * An HTTP client for the upstream that waits as long as its answers take, opens as many connections as there are
 * requests, verifies certificates (left to itself, the proxy would not), and hangs up when the client does.
 */
export async function createClient ({ headersTimeout, ca }: Upstream): Promise<UpstreamClient> {
  const undici = await loadOptional('undici', () => import('undici'))
  const agent = new undici.Agent({
    headersTimeout,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE,
    connect: withoutUnused(undici.buildConnector({ rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) }))
  })
  return { request: withSignals(agent), close: () => agent.destroy() }
}

/** The client opens a connection anew for a request that has been aborted, and has no limit for one that is never used. */
function withoutUnused (connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => connect(options, (...[error, socket]) => {
    if (error !== null) return callback(error, null)
    setTimeout(() => { if (socket.bytesWritten === 0) socket.destroy() }, KEEP_ALIVE).unref()
    callback(null, socket)
  })
}

function withSignals (agent: Agent): Dispatcher['request'] {
  return new Proxy(agent.request, {
    apply: (request, _self, [options, ...rest]: [Dispatcher.RequestOptions, ...unknown[]]) =>
      Reflect.apply(request, agent, [Object.assign(options, { signal: signalIn(options.headers) }), ...rest])
  })
}

function signalIn (headers: Dispatcher.RequestOptions['headers']): unknown {
  return Reflect.get(Object(headers), SIGNAL)
}

const running = new WeakMap<EventEmitter, Set<EventEmitter>>()

/**
 * @returns a signal for the client that fires when whoever asked hangs up: the request itself, and one listener for each
 *   connection, because an `AbortSignal` for each request costs more than all the checks together
 */
export function hangUpSignal (request: EventEmitter & { readonly socket: EventEmitter & { readonly destroyed: boolean } }): EventEmitter {
  const { socket } = request
  if (socket.destroyed) queueMicrotask(() => request.emit('abort')) // who asked is gone before the client listens
  requestsOn(socket).add(request)
  return request
}

/** Forgets a request whose answer is complete. */
export function forget (request: EventEmitter & { readonly socket: EventEmitter }): void {
  running.get(request.socket)?.delete(request)
}

function requestsOn (socket: EventEmitter): Set<EventEmitter> {
  const known = running.get(socket)
  if (known !== undefined) return known
  const requests = new Set<EventEmitter>()
  running.set(socket, requests)
  socket.once('close', () => { for (const request of requests) request.emit('abort') })
  return requests
}
