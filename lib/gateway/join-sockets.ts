import type { Duplex } from 'node:stream'
import type { Upgrade } from './upgrade.js'

const joined = new WeakMap<object, Set<Duplex>>()

/**
 * Joins the two sockets of an upgrade. All bytes pass unread, whatever the protocol. A slow side slows the other one down, and
 * the end of one side ends the other.
 *
 * @param rawHeaders - the headers of the upstream's answer
 * @param server - its end ends the sockets
 */
export function joinSockets (upgrade: Upgrade, upstream: Duplex, rawHeaders: readonly Buffer[], server: object): void {
  const { socket: client } = upgrade
  const early = upgrade.take()
  client.write(switching(rawHeaders))
  if (early.length > 0) upstream.write(early)
  keep(server, client)
  for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
    from.on('error', () => { to.destroy() })
    // Written bytes may still be on their way.
    from.on('close', () => { if (!to.writableEnded) to.destroy() })
    from.pipe(to)
  }
}

/** Open sockets of pages must not keep the server from ending. */
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
