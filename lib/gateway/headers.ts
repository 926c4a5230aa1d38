import type { IncomingHttpHeaders } from 'node:http'
import { overrideFrameAncestors } from '../http/content-security-policy.js'
import { varyByOrigin } from '../http/vary.js'
import type { Upstream } from './options.js'

/** What of a Fastify request the headers tell. */
export interface Asked {
  readonly headers: IncomingHttpHeaders
  readonly ip: string
  /** Only with `trustProxy`: the proxies' addresses, nearest first, and the client's. */
  readonly ips?: string[] | undefined
  readonly host: string
  readonly protocol: string
}

/** Meant for the next hop alone (RFC 9110 §7.6.1), whether or not a Connection header names them. */
const HOP_BY_HOP = new Set([
  'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'http2-settings'
])

/** Not the upstream's business: the gateway has decided on these, and has answered `Expect` itself. */
const DECIDED = new Set(['origin', 'expect', 'forwarded'])

/** The response headers that the gateway, and not the upstream, decides on. */
export const OWN_HEADERS = /^(x-frame-options|x-content-type-options|content-security-policy|vary|access-control-.*)$/

const CSP = 'content-security-policy'

/** The gateway's own stand in their place. */
const REPLACED = new Set(['x-frame-options', 'x-content-type-options'])

/**
 * The headers that the MLflow server gets: as they came, without those that its own checks would decide on, and with
 * X-Forwarded-* that say who asked, and Via. What a client says of itself there counts only where `trustProxy` says so.
 *
 * @param headers - the request's, with the upstream's Host
 * @param via - the gateway itself, as it stands in Via (RFC 9110 §7.6.3)
 */
export function toUpstream (request: Asked, headers: IncomingHttpHeaders, via: string): IncomingHttpHeaders {
  const passed: IncomingHttpHeaders = {}
  for (const name in headers) {
    if (!isWithheld(name)) passed[name] = headers[name]
  }
  passed['x-forwarded-for'] = request.ips === undefined ? request.ip : request.ips.toReversed().join(', ')
  passed['x-forwarded-host'] = request.host
  passed['x-forwarded-proto'] = request.protocol
  passed.via = headers.via === undefined ? via : `${headers.via}, ${via}`
  return passed
}

/** CGI and WSGI make one of `X-Forwarded-For` and `X_Forwarded_For`. */
function isWithheld (written: string): boolean {
  const name = written.includes('_') ? written.replaceAll('_', '-') : written
  if (HOP_BY_HOP.has(name) || DECIDED.has(name) || name.startsWith('sec-fetch-') || name.startsWith('x-forwarded-')) return true
  return name !== written && name === 'content-length'
}

/** The same for a WebSocket, whose handshake is made anew. */
export function toUpstreamSocket (request: Asked, via: string): IncomingHttpHeaders {
  const headers = toUpstream(request, request.headers, via)
  const named = members(request.headers.connection)
  for (const name of Object.keys(headers)) {
    if (name === 'host' || name === 'content-length' || name.startsWith('sec-websocket-') || named.includes(name)) delete headers[name]
  }
  return headers
}

/** The members of a list, in lower case; a header that came twice is an array to the client of the upstream. */
function members (value: string | string[] | undefined): string[] {
  return [value ?? []].flat().join(',').toLowerCase().split(',').map(name => name.trim())
}

/**
 * The headers of the answer: as they came, with the gateway's own in place of the security headers, and its own
 * address in place of the upstream's.
 *
 * @param request - the proxy's types have it optional; it is there
 * @param replaces - whether the gateway has security headers of its own; where security is disabled it has none
 */
export function fromUpstream (
  headers: IncomingHttpHeaders, request: Pick<Asked, 'host' | 'protocol'> | undefined, upstream: Upstream, replaces: boolean
): IncomingHttpHeaders {
  const named = members(headers.connection)
  const passed: IncomingHttpHeaders = {}
  for (const name of Object.keys(headers)) {
    if (HOP_BY_HOP.has(name) || named.includes(name)) continue
    if (replaces && (REPLACED.has(name) || name.startsWith('access-control-'))) continue
    passed[name] = headers[name]
  }
  if (replaces) settleSecurity(passed)
  const [location] = [headers.location ?? []].flat()
  if (location !== undefined) passed.location = toPublic(location, request, upstream)
  return passed
}

/** Who may frame the pages is the gateway's to say, and browsers prefer frame-ancestors to X-Frame-Options. */
function settleSecurity (passed: IncomingHttpHeaders): void {
  passed.vary = varyByOrigin(passed.vary)
  const rest = overrideFrameAncestors(passed[CSP], 'NONE')
  if (rest === '') delete passed[CSP]
  else if (rest !== undefined) passed[CSP] = rest
}

/**
 * A redirect to the upstream's own address leads to the gateway; one to anywhere else is left alone. Its scheme may be
 * the gateway's already, where the upstream believes X-Forwarded-Proto.
 */
function toPublic (location: string, request: Pick<Asked, 'host' | 'protocol'> | undefined, { host, path }: Upstream): string {
  const [absolute = '', authority] = /^(?:https?:)?[/\\]{2}([^/\\?#]*)/i.exec(location) ?? []
  const target = location.slice(absolute.length)
  const rest = target.slice(path.length)
  const isUpstream = authority === undefined || authority.toLowerCase() === host
  if (!isUpstream || !target.startsWith(path) || !/^([/?#]|$)/.test(rest)) return location
  const below = `/${rest.replace(/^[/\\]+/, '')}` // of two slashes browsers would make another host
  return authority === undefined ? below : `${request?.protocol}://${request?.host}${below}`
}
