import type { FastifyRequest } from 'fastify'

/** Observers of requests whose end Fastify's hooks do not see. */
export interface Observer {
  /** The upstream has begun its answer. */
  answered? (request: FastifyRequest): void
  /** The request has ended without an onResponse hook: the client is gone, the answer broke off, or sockets were joined. */
  ended? (request: FastifyRequest, statusCode: number): void
}

const observers = new WeakMap<object, readonly Observer[]>()

/** @param server - the app's `server` */
export function observe (server: object, observer: Observer): void {
  observers.set(server, [...observersOf(server), observer])
}

export function observersOf (server: object): readonly Observer[] {
  return observers.get(server) ?? []
}
