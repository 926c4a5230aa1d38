import { NO_PORT, parseAuthority, portOf } from './authority.js'
import { defaultPort } from './origin.js'
import type { RequestHead } from '../../types/index.js'

/** `scheme "://" authority`, as an absolute-form target (RFC 9112 §3.2.2) or a URL begins. */
const ABSOLUTE_FORM = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i

/** @returns the authority of a URL or absolute-form target, or `undefined` if the text is neither */
export function absoluteAuthority (text: string): string | undefined {
  return ABSOLUTE_FORM.exec(text)?.[2]
}

/** `GET http://host/path` means `GET /path` on that host (RFC 9112 §3.2.2). The Host check has ensured that it is this server. */
export function originForm (target: string): string {
  if (target.startsWith('/')) return target
  const path = target.replace(ABSOLUTE_FORM, '')
  return path === target || path.startsWith('/') ? path : `/${path}`
}

/** @returns the host that the request names: `:authority` in HTTP/2, else the first Host header; empty if there is none */
export function hostValue ({ headers }: RequestHead): string {
  const authority = headers[':authority']
  return typeof authority === 'string' ? authority : headers.host ?? ''
}

/**
 * A request may name its host in several places. A program that reads another one than we do would serve another host.
 *
 * @param host - what {@link hostValue} found
 * @returns why the request is malformed (RFC 9112 §3.2, RFC 9113 §8.3.1), or `undefined` if all places agree
 */
export function describeConflict (request: RequestHead, host: string): string | undefined {
  const { headers, rawHeaders } = request
  const url = request.originalUrl ?? request.url // Fastify's `rewriteUrl` keeps the original there
  if (rawHeaders !== undefined) {
    const limit = reachedLimit(request, rawHeaders)
    if (limit === MAX_HEADERS) return 'the request has a thousand headers or more, and Node may have dropped some'
    if (limit !== undefined) return `the request has ${limit} headers or more, and Node may have dropped some: raise the server's maxHeadersCount`
    if (hasTwoHosts(rawHeaders)) return 'the request has two Host headers'
  }
  if (headers.host !== undefined && headers.host !== host && !isSameAuthority(headers.host, host)) {
    return 'the Host header and :authority differ'
  }
  if (url !== undefined && url.charCodeAt(0) !== SLASH && url !== '*' && !agreesWithTarget(url, host)) {
    return 'the request target names another host'
  }
  return undefined
}

const SLASH = 0x2f
/** Node drops the headers after the thousandth. A second Host or the Origin may be among them. */
const MAX_HEADERS = 1000

/** @returns the limit that the headers of a request have reached; `undefined` if Node has dropped none */
function reachedLimit (request: RequestHead, rawHeaders: readonly string[]): number | undefined {
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

function hasTwoHosts (rawHeaders: readonly string[]): boolean {
  let seen = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length !== 4 || (name !== 'Host' && name !== 'host' && name.toLowerCase() !== 'host')) continue
    if (seen) return true
    seen = true
  }
  return false
}

/** Whether a request has so many headers that Node may have dropped some, its Content-Length among them. */
export function mayLackHeaders (request: RequestHead & { readonly rawHeaders: readonly string[] }): boolean {
  return reachedLimit(request, request.rawHeaders) !== undefined
}

/** An absolute-form target (RFC 9112 §3.2.2), or CONNECT's authority-form. */
function agreesWithTarget (url: string, host: string): boolean {
  const [, scheme = '', authority = url] = ABSOLUTE_FORM.exec(url) ?? []
  return isSameAuthority(authority, host, defaultPort(scheme.toLowerCase()))
}

/** @param port - the port that a missing port means */
function isSameAuthority (one: string, other: string, port = NO_PORT): boolean {
  const a = parseAuthority(one)
  const b = parseAuthority(other)
  if (a === undefined || b === undefined || a.host !== b.host) return false
  return portOf(a, port) === portOf(b, port)
}
