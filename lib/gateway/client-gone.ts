import type { IncomingMessage, ServerResponse } from 'node:http'
import { streamOf } from './answer.js'

/** @returns whether the client has hung up already */
export function isGone (raw: IncomingMessage): boolean {
  return (streamOf(raw) ?? raw.socket).destroyed
}

/** How many requests of a connection may wait for their turn: as many as a client may have over HTTP/2. */
const MOST_WAITING = 250

/** What to do when a connection ends: one listener for all of its requests that wait for their turn to be answered. */
const waiting = new WeakMap<object, Set<() => void>>()

/**
 * Waits until all earlier requests of the connection are answered, and tells when the client hangs up. Requests that change
 * something must not run side by side (RFC 9112 §9.3.2), and one connection of a client could otherwise open thousands to the
 * upstream. If too many wait already, the connection ends, because each of them takes memory.
 *
 * A pipelined response whose turn has not come does not learn that its connection has ended, so the connection itself is watched.
 * The request is forgotten at its turn: a connection may last for days.
 *
 * @param gone - is called once at most; after `turn` also when an answer that is whole has been sent
 */
export function awaitTurn ({ socket }: IncomingMessage, response: ServerResponse, turn: () => void, gone: () => void): void {
  if (response.socket !== null) {
    response.once('close', gone)
    turn()
    return
  }
  const acts = waiting.get(socket) ?? watch(socket)
  acts.add(gone)
  response.once('socket', () => {
    acts.delete(gone)
    response.once('close', gone)
    turn()
  })
  if (acts.size > MOST_WAITING) socket.destroy()
}

function watch (socket: IncomingMessage['socket']): Set<() => void> {
  const acts = new Set<() => void>()
  waiting.set(socket, acts)
  socket.once('close', () => { for (const act of acts) act() })
  return acts
}
