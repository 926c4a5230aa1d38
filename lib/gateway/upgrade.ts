import type { IncomingMessage } from 'node:http'

/** @returns whether an upgrade is one that a server may want; any other is ignored, and the request served (RFC 9110 §7.8) */
export function isWebSocket ({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}
