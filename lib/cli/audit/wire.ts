import { connect as connectHttp2, constants } from 'node:http2'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTcp, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { MAX_BYTES, joinHeaders, readAnswer } from './answer.js'
import type { Outcome, Silence } from './answer.js'
import type { RawRequest } from './requests.js'
import type { Target } from './target.js'

/** The most requests of one audit. */
export const MAX_REQUESTS = 120

/** Sends requests byte for byte, each on a connection of its own. */
export interface Wire {
  send (request: RawRequest): Promise<Outcome>
  /** The same by HTTP/2. */
  sendHttp2 (request: RawRequest): Promise<Outcome>
  /** @returns whether the target offers HTTP/2 in the TLS handshake (ALPN) */
  speaksHttp2 (): Promise<boolean>
  readonly sent: number
  /** Why the certificate is not trusted, if it is not. */
  readonly certificateProblem: string | undefined
}

/** @param timeout - milliseconds for one request, connection included */
export function openWire (target: Target, timeout: number): Wire {
  let sent = 0
  let certificateProblem: string | undefined
  let speaks: Promise<boolean> | undefined

  const connection = (protocol: 'h2' | 'http/1.1'): Socket => {
    if (!target.tls) return connectTcp({ ...target.connect })
    const socket = secureConnection(target, protocol)
    socket.once('secureConnect', () => { if (!socket.authorized) certificateProblem = String(socket.authorizationError) })
    return socket
  }
  const counted = async (exchange: (socket: Socket) => Promise<Outcome>, protocol: 'h2' | 'http/1.1'): Promise<Outcome> => {
    if (sent >= MAX_REQUESTS) return silence('unreachable', `the audit has sent its ${MAX_REQUESTS} requests`)
    sent++
    const socket = connection(protocol)
    return await withinTime(socket, timeout, exchange(socket), silence('timeout', `no answer in ${timeout / 1000} s`))
  }

  const askForHttp2 = async (): Promise<boolean> => {
    const socket = secureConnection(target, 'h2')
    return await withinTime(socket, timeout, negotiatesHttp2(socket), false)
  }

  return {
    send: request => counted(socket => exchange(socket, request, target.tls), 'http/1.1'),
    sendHttp2: request => counted(socket => exchangeHttp2(socket, request, target), 'h2'),
    async speaksHttp2 () {
      speaks ??= target.tls ? askForHttp2() : Promise.resolve(false)
      return await speaks
    },
    get sent () { return sent },
    get certificateProblem () { return certificateProblem }
  }
}

function secureConnection ({ connect, host, headers }: Target, protocol: string): TLSSocket {
  return connectTls({
    ...connect,
    ALPNProtocols: [protocol],
    ...(isIP(host.host) === 0 ? { servername: host.host } : {}),
    // A self-signed certificate does not stop the audit. But a login is sent only to a server whose certificate is trusted.
    rejectUnauthorized: headers.length > 0,
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host.host, certificate)
  })
}

function negotiatesHttp2 (socket: TLSSocket): Promise<boolean> {
  return new Promise(resolve => {
    socket.once('secureConnect', () => resolve(socket.alpnProtocol === 'h2')).once('close', () => resolve(false)).on('error', () => {})
  })
}

function silence (kind: Silence['kind'], reason: string): Silence {
  return { kind, reason }
}

/** Closes the connection when the result is there, or after the time limit. */
async function withinTime<Result> (socket: Socket, timeout: number, result: Promise<Result>, late: Result): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const end = new Promise<Result>(resolve => { timer = setTimeout(() => resolve(late), timeout) })
  return await Promise.race([result, end]).finally(() => {
    clearTimeout(timer)
    socket.destroy()
  })
}

function format ({ method, target, headers, body }: RawRequest): string {
  return `${method} ${target} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`
}

function exchange (socket: Socket, request: RawRequest, tls: boolean): Promise<Outcome> {
  return new Promise(resolve => {
    let bytes = Buffer.alloc(0)
    let isConnected = false
    let reason = 'the connection was closed without an answer'
    socket.once(tls ? 'secureConnect' : 'connect', () => { isConnected = true; socket.write(format(request), 'latin1') })
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      const answer = readAnswer(bytes, bytes.length >= MAX_BYTES)
      if (answer !== undefined) resolve(answer)
      else if (bytes.length >= MAX_BYTES) socket.destroy() // a head without an end
    })
    socket.on('error', error => { if (!isConnected) reason = reasonOf(error) })
    socket.once('close', () => {
      if (!isConnected) return resolve(silence('unreachable', reason))
      if (bytes.length === 0) return resolve(silence('closed', reason))
      resolve(readAnswer(bytes, true) ?? silence('garbled', 'the answer is not HTTP/1.1'))
    })
  })
}

/** OpenSSL's messages are for programmers, and have several lines. */
function reasonOf (error: NodeJS.ErrnoException): string {
  return error.message.includes(':error:') ? String(error.code) : error.message
}

const CONNECTION_HEADERS = new Set(['host', 'connection'])

function exchangeHttp2 (socket: Socket, request: RawRequest, target: Target): Promise<Outcome> {
  return new Promise(resolve => {
    let isConnected = false
    let answer: IncomingHttpHeaders = {}
    let body = ''
    socket.once('secureConnect', () => { isConnected = true })
    const session = connectHttp2(target.origin, { createConnection: () => socket }).on('error', ignore)
    const stream = session.request(headersOf(request), { endStream: request.body === '' })
    stream.on('error', ignore).once('response', headers => { answer = headers })
    stream.setEncoding('utf8').on('data', chunk => {
      body += chunk
      if (body.length >= MAX_BYTES) stream.close()
    })
    stream.once('close', () => {
      const status = Number(answer[constants.HTTP2_HEADER_STATUS] ?? 0)
      session.destroy()
      if (status !== 0) resolve({ kind: 'answer', status, headers: flatten(answer), body })
      else resolve(isConnected ? silence('closed', 'the stream was reset without an answer') : silence('unreachable', 'no connection by HTTP/2'))
    })
    if (request.body !== '') stream.end(request.body)
  })
}

/** The end of the stream follows and says the rest. */
function ignore (): void {}

function headersOf ({ method, target: path, headers }: RawRequest): OutgoingHttpHeaders {
  const authority = headers.flatMap(([name, value]) => name === 'Host' ? [value] : []).join()
  const rest = headers.map(([name, value]) => [name.toLowerCase(), value] as const).filter(([name]) => !CONNECTION_HEADERS.has(name))
  return { ':method': method, ':path': path, ':scheme': 'https', ':authority': authority, ...Object.fromEntries(rest) }
}

function flatten (headers: IncomingHttpHeaders): ReadonlyMap<string, string> {
  return joinHeaders(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}
