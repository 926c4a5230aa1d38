import type { IncomingMessage, OutgoingHttpHeader, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { constants, Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { ServerHttp2Stream } from 'node:http2'

/** The head of an answer, as it goes to the client. */
export interface Head {
  readonly status: number
  readonly reason: string
  /** Names and values, one after the other. */
  readonly fields: string[]
}

/** A request over HTTP/1.1 may claim HTTP/2.0 in its first line, so its version says nothing. */
export const isHttp2 = (request: object): boolean => request instanceof Http2ServerRequest

/** @returns the HTTP/2 stream of a request or a response of Node's compatibility API */
export function streamOf (message: object): ServerHttp2Stream | undefined {
  return message instanceof Http2ServerRequest || message instanceof Http2ServerResponse ? message.stream : undefined
}

/** Writes the head of an answer. Repeated headers, case and order stay as they are. */
export function writeHead (request: IncomingMessage, response: ServerResponse, { status, reason, fields }: Head): void {
  response.sendDate = false // the upstream's Date or none
  if (!isHttp2(request) && response.getHeaderNames().length === 0) {
    response.writeHead(status, printable(reason), fields)
    return
  }
  const before = Object.entries(response.getHeaders())
  try {
    writeGrouped(request, response, { status, reason, fields })
  } catch (error) {
    // The error that is sent instead has its own length and type.
    replaceHeaders(response, before)
    throw error
  }
}

function writeGrouped (request: IncomingMessage, response: ServerResponse, { status, reason, fields }: Head): void {
  // Node accepts repeated headers in one of two forms: one list for `writeHead`, or a list of values for each name.
  replaceHeaders(response, [...group(fields)].map(([name, values]) => [name, values.length === 1 ? values.join() : values] as const))
  if (isHttp2(request)) response.writeHead(status)
  else response.writeHead(status, printable(reason))
}

type Fields = ReadonlyArray<readonly [name: string, value: OutgoingHttpHeader | undefined]>

function replaceHeaders (response: ServerResponse, headers: Fields): void {
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  // In HTTP/2, Node cannot remove a Date. If there were two, Node would throw, also for the error that is sent instead.
  if (response.hasHeader('date')) response.setHeader('date', new Date().toUTCString())
  for (const [name, value = ''] of headers) response.setHeader(name, value)
}

/** Sends the head alone. Node's `flushHeaders` would write bytes beyond ASCII as UTF-8. */
export function flushHead (request: IncomingMessage, response: ServerResponse): void {
  if (isHttp2(request)) response.flushHeaders()
  else response.write('', 'latin1')
}

/** Each name keeps the case of its first occurrence. */
function group (fields: readonly string[]): Map<string, string[]> {
  const names = new Map<string, string>()
  const grouped = new Map<string, string[]>()
  for (let i = 0; i < fields.length; i += 2) {
    const { [i]: name = '', [i + 1]: value = '' } = fields
    const first = names.get(name.toLowerCase()) ?? name
    names.set(name.toLowerCase(), first)
    const values = grouped.get(first)
    if (values === undefined) grouped.set(first, [value])
    else values.push(value)
  }
  return grouped
}

/** undici decodes the reason phrase as UTF-8. Node writes Latin-1, and throws on other characters. */
function printable (reason: string): string {
  if (/^[\t\x20-\x7e]*$/.test(reason)) return reason
  return reason.includes('\ufffd') ? '' : Buffer.from(reason).toString('latin1').replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
}

/** How many frames may wait for a slow HTTP/2 client before it gets no more interim answers. */
const MOST_FRAMES = 100

/**
 * Passes an interim answer on (RFC 9110 §15.2). HTTP/1.0 has none. A slow client misses some: nothing holds an upstream back that
 * sends them without end, and they would wait in memory.
 */
export function writeInterim (request: IncomingMessage, response: ServerResponse, { status, reason, fields }: Head): void {
  const stream = streamOf(response)
  if (stream !== undefined) {
    if (Number(stream.session?.state.outboundQueueSize) > MOST_FRAMES) return
    stream.additionalHeaders({ ':status': status, ...Object.fromEntries(group(fields)) })
    return
  }
  if (request.httpVersion !== '1.1' || response.socket === null || response.socket.writableNeedDrain) return
  let head = `HTTP/1.1 ${status} ${printable(reason)}\r\n`
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
  response.socket.write(`${head}\r\n`, 'latin1')
}

/** Adds trailers to an answer. @param fields - names and values, one after the other */
export function addTrailers (request: IncomingMessage, response: ServerResponse, fields: readonly string[]): void {
  if (fields.length === 0) return
  const trailers = pairsOf(fields)
  if (isHttp2(request)) response.addTrailers(Object.fromEntries(trailers))
  else response.addTrailers(trailers)
}

function pairsOf (fields: readonly string[]): Array<[name: string, value: string]> {
  const pairs: Array<[string, string]> = []
  for (let i = 0; i < fields.length; i += 2) {
    const { [i]: name = '', [i + 1]: value = '' } = fields
    pairs.push([name, value])
  }
  return pairs
}

/**
 * Ends an answer that is not complete, so that it does not look complete to the client.
 *
 * @param rest - the last piece of its body
 * @param showsItsEnd - whether the answer itself shows the client that a part is missing
 */
export function breakOff (response: ServerResponse, rest: Uint8Array | undefined, showsItsEnd: boolean): void {
  const stream = streamOf(response)
  const { socket } = response
  const end = () => {
    // In HTTP/2 this ends only the stream. The other streams of the connection go on.
    if (stream !== undefined) stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    // TLS itself shows that a connection was cut off. It has no reset.
    else if (!showsItsEnd && socket instanceof Socket && !(socket instanceof TLSSocket)) socket.resetAndDestroy()
    else response.destroy()
  }
  if (rest === undefined) end()
  else response.write(rest, end)
}
