import type { Duplex } from 'node:stream'
import type { Upgrade } from './upgrade.js'

const joined = new WeakMap<object, Set<Duplex>>()

/**
 * Joins the two sockets of an upgrade: whatever protocol, message, subprotocol or extension there is passes unread, each side
 * waits for the other one, and neither outlives it.
 *
 * @param rawHeaders - of the upstream's answer, which becomes the gateway's
 * @param server - whose end is theirs
 */
export function joinSockets (upgrade: Upgrade, upstream: Duplex, rawHeaders: readonly Buffer[], server: object): void {
  const { socket: client } = upgrade
  const early = upgrade.take()
  client.write(switching(rawHeaders))
  if (early.length > 0) upstream.write(early)
  keep(server, client)
  for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
    from.on('error', () => { to.destroy() })
    // What has been written to it may still be on its way.
    from.on('close', () => { if (!to.writableEnded) to.destroy() })
    from.pipe(to)
  }
}

/** Nobody's pages should keep a server from ending. */
export function endJoined (server: object): void {
  for (const socket of joined.get(server) ?? []) socket.destroy()
}

function keep (server: object, socket: Duplex): void {
  const sockets = joined.get(server) ?? new Set()
  joined.set(server, sockets.add(socket))
  socket.once('close', () => { sockets.delete(socket) })
}

function switching (rawHeaders: readonly Buffer[]): Buffer {
  const pieces: Buffer[] = [Buffer.from('HTTP/1.1 101 Switching Protocols\r\n')]
  for (const [i, piece] of rawHeaders.entries()) pieces.push(piece, i % 2 === 0 ? COLON : END)
  return Buffer.concat([...pieces, END])
}

const COLON = Buffer.from(': ')
const END = Buffer.from('\r\n')
