import { ServerResponse } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { mayLackHeaders } from '../grammar/header-limit.js'

/** How many bytes a client may send after its request before it has an answer. For more it has to wait. */
const EARLY = 1 << 16

/**
 * An upgrade that waits for its answer. Its socket is read meanwhile, because nothing else shows that a client has given up. A
 * client that ends its side counts as gone, as it does in Node for any other answer.
 */
export class Upgrade {
  readonly socket: Socket
  readonly #early: Buffer[]
  #size: number
  readonly #onData = (chunk: Buffer): void => {
    this.#early.push(chunk)
    this.#size += chunk.length
    if (this.#size > EARLY) this.socket.pause()
  }

  readonly #onEnd = (): void => { this.socket.destroy() }

  /** @param head - what came with the request */
  constructor (socket: Socket, head: Buffer) {
    this.socket = socket
    this.#early = [head]
    this.#size = head.length
    socket.on('data', this.#onData).once('end', this.#onEnd)
  }

  /** Stops reading the socket, so that the caller can use it. @returns what the client has sent so far */
  take (): Buffer {
    this.socket.off('data', this.#onData).off('end', this.#onEnd).pause()
    return Buffer.concat(this.#early)
  }
}

const upgrades = new WeakMap<object, Upgrade>()

/** @returns the upgrade of a request, if it is one */
export function upgradeOf (raw: object): Upgrade | undefined {
  return upgrades.get(raw)
}

/** @returns whether a server may want this upgrade. Any other is ignored, and the request is served (RFC 9110 §7.8) */
export function isWebSocket ({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}

/** Sends upgrades through the app's hooks and routes, like requests. */
export function routeUpgrades (app: FastifyInstance): void {
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (socket.listenerCount('error', ignore) === 0) socket.on('error', ignore) // Node hands it over without a listener
    if (!(socket instanceof Socket)) { socket.destroy(); return }
    const response = new ServerResponse(request)
    try {
      // It throws while the answer to an earlier request is under way. A new parser would not know of that request, so answers
      // would come out of turn. Then Node ends the process.
      response.assignSocket(socket)
    } catch {
      socket.destroy()
      return
    }
    if (!isWebSocket(request)) {
      response.detachSocket(socket)
      serveAnyway(app, request, socket, head)
      return
    }
    response.shouldKeepAlive = false
    response.once('finish', () => { socket.end(() => { socket.destroy() }) })
    upgrades.set(request, new Upgrade(socket, head))
    app.routing(request, response)
  })
}

function ignore (): void {}

/**
 * Java's client offers h2c with every first request. Node 20 cannot ignore such an offer: it detaches the socket from its
 * parser. So the request is put back in front of the bytes that follow, without the offer, and a new parser reads it. What Node
 * has dropped of it cannot be put back: without its Content-Length, its body would be read as another request.
 */
function serveAnyway ({ server }: FastifyInstance, request: IncomingMessage, socket: Socket, head: Buffer): void {
  if (mayLackHeaders(request)) {
    socket.end('HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => { socket.destroy() })
    return
  }
  socket.unshift(Buffer.concat([Buffer.from(`${withoutOffer(request)}\r\n`, 'latin1'), head]))
  server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket)
}

function withoutOffer ({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  let text = `${method} ${url} HTTP/${httpVersion}\r\n`
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { [i]: name = '', [i + 1]: value = '' } = rawHeaders
    switch (name.toLowerCase()) {
      case 'upgrade': case 'http2-settings': break
      case 'connection': text += `${name}: ${withoutUpgrade(value)}\r\n`; break
      default: text += `${name}: ${value}\r\n`
    }
  }
  return text
}

function withoutUpgrade (connection: string): string {
  return connection.split(',').filter(token => !/^\s*(upgrade|http2-settings)\s*$/i.test(token)).join(',') || 'keep-alive'
}
