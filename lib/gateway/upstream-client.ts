import type { Socket } from 'node:net'
import type { Client, Dispatcher, Pool, buildConnector } from 'undici'
import { loadOptional } from './optional-dependency.js'
import type { Upstream } from './options.js'

/** The HTTP client for the upstream. */
export interface UpstreamClient {
  /** @param isRepeated - the request needs a new connection: if one kept connection has died, the others may have died with it */
  dispatch (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler, isRepeated: boolean): boolean
  /** @returns whether an error ended a connection that had served a request before. Servers close such connections when idle */
  wasKept (error: object): boolean
  close (): Promise<void>
}

/** gunicorn closes idle connections after two seconds. A request on a connection that is just being closed would fail. */
const KEEP_ALIVE = 1000

/**
 * An HTTP client for the upstream that waits as long as its answers take, opens as many connections as there are
 * requests, and verifies certificates.
 *
 * @param maxHeaderSize - bytes of the headers of an answer, as many as the server allows in a request
 * @throws FST_MLFLOW_SECURITY_MISSING_DEPENDENCY
 */
export async function createClient ({ origin, headersTimeout, ca }: Upstream, maxHeaderSize: number): Promise<UpstreamClient> {
  const undici = await loadOptional('undici', () => import('undici'))
  const bytesRead = new WeakMap<object, number>()
  const connect = undici.buildConnector({ rejectUnauthorized: true, allowHalfOpen: true, ...(ca === undefined ? {} : { ca }) })
  const options: Pool.Options = {
    headersTimeout,
    maxHeaderSize,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE,
    keepAliveMaxTimeout: KEEP_ALIVE,
    factory: (origin, options) => {
      const client: Client = new undici.Client(origin, { ...options, connect: watched(connect, bytesRead, () => client.stats.size > 0) })
      return client
    }
  }
  const pool = new undici.Pool(origin, options)
  const single = new undici.Pool(origin, { ...options, pipelining: 0 }) // undici keeps no connection then
  return {
    dispatch: (options, handler, isRepeated) => (isRepeated ? single : pool).dispatch(options, handler),
    wasKept (error) {
      if (error instanceof undici.errors.SocketError) return Number(error.socket?.bytesRead) > 0
      return Number(bytesRead.get(error)) > 0
    },
    close: async () => { await Promise.all([pool.destroy(), single.destroy()]) }
  }
}

/**
 * Makes up for what undici does not do. It opens a new connection even for an aborted request, and never closes one that is not
 * used. Its errors of the system do not say how many bytes a connection had read. It treats a reset as the end of a body without
 * a length, unless the error has undici's own code for a closed connection.
 *
 * @param hasRequests - whether a request has or wants the connection
 */
function watched (
  connect: buildConnector.connector, bytesRead: WeakMap<object, number>, hasRequests: () => boolean
): buildConnector.connector {
  return (options, callback) => connect(options, (...[error, socket]) => {
    if (error !== null) return callback(error, null)
    closeIfUnused(socket, hasRequests)
    socket.once('end', () => { resumeParser(socket) })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      bytesRead.set(error, socket.bytesRead)
      if (error.code === 'ECONNRESET') error.code = 'UND_ERR_SOCKET'
    })
    callback(null, socket)
  })
}

/**
 * Closes a connection that has carried nothing after a second, unless a request waits to use it: undici sends the headers of an
 * upload with the first bytes of its body, for which a client may take its time.
 */
export function closeIfUnused (socket: Socket, hasRequests: () => boolean): void {
  setTimeout(() => {
    if (socket.bytesWritten > 0 || socket.destroyed) return
    if (hasRequests()) closeIfUnused(socket, hasRequests)
    else socket.destroy()
  }, KEEP_ALIVE).unref()
}

/** The parts of undici's parser that are needed here. */
interface Parser { readonly paused: boolean, resume (): void }

/**
 * While a client is slow, the parser of its answer is paused. If the upstream ends the connection at that moment, undici fails
 * an assertion that nobody can catch, and the process ends. So the parser is resumed before that. By then, all bytes have been
 * handed over, so this costs nothing. The handler gets an empty piece, and must resume then as well. undici keeps its parser
 * under a symbol of its own. If another version keeps it elsewhere, the tests of slow clients fail.
 *
 * @param socket - a connection that has just ended, before undici hears of it
 */
function resumeParser (socket: object): void {
  const name = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'parser')
  const parser: unknown = name && Reflect.get(socket, name)
  if (isParser(parser) && parser.paused) parser.resume()
}

function isParser (value: unknown): value is Parser {
  return typeof value === 'object' && value !== null && 'paused' in value && 'resume' in value
}
