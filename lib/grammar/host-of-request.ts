import { NO_PORT, parseAuthority, portOf } from './authority.js'
import { MAX_HEADERS, reachedLimit } from './header-limit.js'
import { defaultPort } from './origin.js'
import { parseAbsoluteForm } from './request-target.js'
import type { RequestHead } from '../../types/index.js'

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

/** @returns whether there are two Host lines, equal or not (RFC 9112 §3.2) */
export function hasTwoHosts (rawHeaders: readonly string[]): boolean {
  let seen = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length !== 4 || (name !== 'Host' && name !== 'host' && name.toLowerCase() !== 'host')) continue
    if (seen) return true
    seen = true
  }
  return false
}

/** An absolute-form target (RFC 9112 §3.2.2), or CONNECT's authority-form. */
function agreesWithTarget (url: string, host: string): boolean {
  const { scheme, authority } = parseAbsoluteForm(url) ?? { scheme: '', authority: url }
  return isSameAuthority(authority, host, defaultPort(scheme))
}

/** @param port - the port that a missing port means */
function isSameAuthority (one: string, other: string, port = NO_PORT): boolean {
  const a = parseAuthority(one)
  const b = parseAuthority(other)
  if (a === undefined || b === undefined || a.host !== b.host) return false
  return portOf(a, port) === portOf(b, port)
}
