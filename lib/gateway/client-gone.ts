import type { IncomingMessage, ServerResponse } from 'node:http'
import { streamOf } from './answer.js'

/** @returns whether the client has hung up already */
export function isGone (raw: IncomingMessage): boolean {
  return (streamOf(raw) ?? raw.socket).destroyed
}

/** What to do when a connection ends: one listener for all of its requests, of which a client may send any number. */
const waiting = new WeakMap<object, Set<() => void>>()

/**
 * Tells when a client hangs up. A pipelined response whose turn has not come does not learn that its connection has ended, so
 * the connection itself is watched. It is forgotten with its response: a connection may last for days.
 */
export function onceGone ({ socket }: IncomingMessage, response: ServerResponse, act: () => void): void {
  response.once('close', act)
  if (response.socket !== null) return
  const acts = waiting.get(socket) ?? watch(socket)
  acts.add(act)
  response.once('close', () => acts.delete(act))
}

function watch (socket: IncomingMessage['socket']): Set<() => void> {
  const acts = new Set<() => void>()
  waiting.set(socket, acts)
  socket.once('close', () => { for (const act of acts) act() })
  return acts
}
