import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Server as NetServer } from 'node:net'
import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { setImmediate, setTimeout as wait } from 'node:timers/promises'

/** How long a connection may stay idle while the server drains, in milliseconds: a client's next request may be on its way. */
const IDLE = 1000
/** How often to look for idle connections, in milliseconds. */
const LOOK_AGAIN = 100

/** The connections of a server, and the way to end them without failing a request. */
export interface Connections {
  /**
   * Stops listening, answers running requests and those that still come on kept connections, and ends the connections one by
   * one.
   *
   * @param timeout - milliseconds after which the remaining connections are cut off
   */
  drain (timeout: number): Promise<void>
}

interface Connection {
  /** The answer to the last request. */
  answer?: ServerResponse
  /** The connection is a WebSocket or an HTTP/2 session: it ends by itself or at the timeout. */
  isJoined: boolean
  bytesRead: number
  idleSince: number
}

interface Session { close (): void, once (event: 'close', listener: () => void): void }

/**
 * Follows the connections of a server from the start. It costs a Map look-up a request.
 *
 * @param server - before it listens; with TLS and HTTP/2 too
 * @param takesUpgrades - false to serve upgrades as ordinary requests, as Node does without a listener
 */
export function trackConnections (server: Server, takesUpgrades = true): Connections {
  const isTls = server instanceof TlsServer
  const connections = new Map<Socket, Connection>()
  const sockets = new Set<Socket>()
  const sessions = new Set<Session>()
  let isDraining = false

  // An offer of h2c comes as the same connection again (upgrade.ts), any number of times.
  server.on('connection', (socket: Socket) => {
    if (sockets.has(socket)) return
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket & { readonly alpnProtocol?: string | false | null }) => {
    if (!connections.has(socket)) socket.once('close', () => connections.delete(socket))
    connections.set(socket, { isJoined: socket.alpnProtocol === 'h2', bytesRead: 0, idleSince: Date.now() })
  })
  server.on('session', (session: Session) => { sessions.add(session); session.once('close', () => sessions.delete(session)) })
  if (takesUpgrades) {
    server.prependListener('upgrade', ({ socket }: IncomingMessage) => {
      const connection = connections.get(socket)
      if (connection !== undefined) connection.isJoined = true
    })
  }
  const note = (request: IncomingMessage, answer: ServerResponse): void => {
    const connection = connections.get(request.socket)
    if (connection === undefined) return // HTTP/2: the session ends the connection
    connection.answer = answer
    if (isDraining) answer.shouldKeepAlive = false
  }
  server.prependListener('request', note)
  server.prependListener('checkContinue', (request: IncomingMessage, answer: ServerResponse) => {
    note(request, answer)
    if (server.listenerCount('checkContinue') > 1) return
    // Node does this by itself only where nobody listens: without it, such a request would never have an answer.
    answer.writeContinue()
    server.emit('request', request, answer)
  })

  return {
    async drain (timeout) {
      isDraining = true
      const closed = new Promise<void>(resolve => { server.once('close', resolve) })
      // Before anything says `Connection: close`: clients that connect anew must not reach this server again. The close of
      // http.Server would end idle connections at once, on which the next request may be under way.
      NetServer.prototype.close.call(server)
      for (const { answer } of connections.values()) if (answer?.headersSent === false) answer.shouldKeepAlive = false
      for (const session of sessions) session.close()
      const timer = setInterval(() => endIdle(connections), LOOK_AGAIN)
      await Promise.race([closed, wait(timeout, undefined, { ref: false })])
      clearInterval(timer)
      for (const socket of [...connections.keys(), ...sockets]) socket.destroy()
      await closed
      await setImmediate() // lets their requests learn of it before anything else ends
    }
  }
}

function endIdle (connections: ReadonlyMap<Socket, Connection>): void {
  const now = Date.now()
  for (const [socket, connection] of connections) {
    if (isBusy(connection) || socket.bytesRead !== connection.bytesRead) connection.idleSince = now
    connection.bytesRead = socket.bytesRead
    if (now - connection.idleSince >= IDLE) socket.destroy()
  }
}

function isBusy ({ answer, isJoined }: Connection): boolean {
  return isJoined || (answer !== undefined && !answer.writableFinished)
}
