import type { RequestHead } from '../../types/index.js'

/** Node drops the headers after the thousandth. A second Host or the Origin may be among them. */
export const MAX_HEADERS = 1000

/** @returns the limit that the headers of a request have reached; `undefined` if Node has dropped none */
export function reachedLimit (request: RequestHead, rawHeaders: readonly string[]): number | undefined {
  const count = rawHeaders.length / 2
  if (count >= MAX_HEADERS) return MAX_HEADERS
  const most = headersThatNodeReads(request)
  return count >= most ? most : undefined
}

/**
 * @returns how many headers of a request Node reads, if the app has set `maxHeadersCount` on its server. Node does not document
 *   how to get from a connection to its server. If that fails, only the default above applies.
 */
function headersThatNodeReads ({ socket }: RequestHead): number {
  const server = socket && 'server' in socket ? socket.server : undefined
  if (typeof server !== 'object' || server === null || !('maxHeadersCount' in server)) return Infinity
  const most = server.maxHeadersCount
  return typeof most === 'number' && most > 0 ? most : Infinity
}

/** Whether a request has so many headers that Node may have dropped some, its Content-Length among them. */
export function mayLackHeaders (request: RequestHead & { readonly rawHeaders: readonly string[] }): boolean {
  return reachedLimit(request, request.rawHeaders) !== undefined
}
