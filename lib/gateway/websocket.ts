import type { FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import { toUpstreamSocket } from './headers.js'
import type { Asked } from './headers.js'
import type { Upstream } from './options.js'

/** Milliseconds for the upstream's handshake. */
const HANDSHAKE_TIMEOUT = 10_000
/** What may wait for a slow reader before the other side is asked to wait too, in bytes. */
const HIGH_WATER_MARK = 1 << 20
/** How often a side that waits looks whether it may go on, in milliseconds. */
const LOOK_AGAIN = 20

const CONNECTING = 0
const OPEN = 1

/** The options of `@fastify/http-proxy` for WebSockets. */
export interface SocketOptions {
  readonly wsClientOptions: NonNullable<FastifyHttpProxyOptions['wsClientOptions']>
  readonly wsHooks: {
    onConnect (context: unknown, source: WebSocket, target: WebSocket): void
    onIncomingMessage (context: unknown, source: WebSocket, target: WebSocket): void
    onOutgoingMessage (context: unknown, source: WebSocket, target: WebSocket): void
  }
}

/**
 * Passes WebSockets on without what the proxy leaves open: no side outlives the other, none is flooded, and what goes wrong
 * is told to the log and not to whoever asked.
 */
export function socketOptions ({ ca }: Upstream, via: string, log: FastifyBaseLogger): SocketOptions {
  const wsClientOptions = {
    ...(ca === undefined ? {} : { ca }),
    handshakeTimeout: HANDSHAKE_TIMEOUT,
    rewriteRequestHeaders: (_headers: unknown, request: Asked) => toUpstreamSocket(request, via),
    // The one place to see a socket to the upstream before anything happens on it.
    finishRequest (request: { end (): void }, target: WebSocket) {
      target.prependListener('error', error => {
        log.warn({ code: 'code' in error ? error.code : undefined, reason: error.message }, 'WebSocket: the upstream cannot be reached')
        error.message = 'the upstream cannot be reached' // it goes to the client, which takes 123 bytes at most
      })
      target.prependListener('unexpected-response', (_request, response) => {
        log.warn({ statusCode: response.statusCode }, 'WebSocket: the upstream has refused the upgrade')
        response.destroy()
      })
      request.end()
    }
  }
  return {
    wsClientOptions,
    wsHooks: {
      onConnect: (_context, source, target) => { if (source.readyState !== OPEN) target.terminate() },
      onIncomingMessage: (_context, source, target) => holdBack(source, target),
      onOutgoingMessage: (_context, source, target) => holdBack(target, source)
    }
  }
}

/** Lets one side wait while the other is not there yet, or does not keep up. */
export function holdBack (
  from: Pick<WebSocket, 'isPaused' | 'pause' | 'resume'>, to: { readonly readyState: number, readonly bufferedAmount: number }
): void {
  const isBehind = (): boolean => to.readyState === CONNECTING || (to.readyState === OPEN && to.bufferedAmount > HIGH_WATER_MARK)
  if (from.isPaused || !isBehind()) return
  from.pause()
  const timer = setInterval(() => {
    if (isBehind()) return
    clearInterval(timer)
    from.resume()
  }, LOOK_AGAIN)
}

/**
 * Guards the proxy's listener for upgrades. Node hands the socket over without a listener for its errors, and while the
 * answer to a request before it on the same connection is still under way, which the proxy does not expect.
 */
export function guardUpgrades ({ server }: FastifyInstance): void {
  const listeners = server.listeners('upgrade')
  server.removeAllListeners('upgrade')
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {})
    try {
      for (const listener of listeners) listener.call(server, request, socket, head)
    } catch {
      socket.destroy()
    }
  })
}
