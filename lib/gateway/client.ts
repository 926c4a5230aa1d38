import type { EventEmitter } from 'node:events'
import type { Agent, Dispatcher } from 'undici'
import { loadOptional } from './optional.js'
import type { Upstream } from './options.js'

/** Where a request's headers carry the signal that ends it: the proxy hands nothing else through to the client. */
export const SIGNAL = Symbol('signal')

/** What `@fastify/http-proxy` sends requests with. */
export interface UpstreamClient {
  readonly request: Dispatcher['request']
  close (): Promise<void>
}

/**
 * An HTTP client for the upstream that waits as long as its answers take, opens as many connections as there are
 * requests, verifies certificates (left to itself, the proxy would not), and hangs up when the client does.
 */
export async function createClient ({ headersTimeout, ca }: Upstream): Promise<UpstreamClient> {
  const undici = await loadOptional('undici', () => import('undici'))
  const agent = new undici.Agent({
    headersTimeout,
    bodyTimeout: 0,
    // gunicorn closes idle connections after two seconds: a request on one that is just being closed would fail.
    keepAliveTimeout: 1500,
    connect: { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) }
  })
  return { request: withSignals(agent), close: () => agent.destroy() }
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

const latest = new WeakMap<EventEmitter, EventEmitter>()

/**
 * @returns a signal for the client that fires when whoever asked hangs up: the request itself, and one listener for each
 *   connection, because an `AbortSignal` for each request costs more than all the checks together. (Of requests that are
 *   pipelined, the last one counts.)
 */
export function hangUpSignal (request: EventEmitter & { readonly socket: EventEmitter & { readonly destroyed: boolean } }): EventEmitter {
  const { socket } = request
  if (socket.destroyed) queueMicrotask(() => request.emit('abort')) // who asked is gone before the client listens
  if (!latest.has(socket)) socket.once('close', () => latest.get(socket)?.emit('abort'))
  latest.set(socket, request)
  return request
}
