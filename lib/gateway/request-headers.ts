import type { IncomingHttpHeaders } from 'node:http'
import { isWebScheme } from '../grammar/origin.js'
import { parseAbsoluteForm } from '../grammar/request-target.js'
import { HOP_BY_HOP, namedFields, remember } from './header-names.js'
import type { Upstream } from './options.js'

/** What to do with a header field of a request. */
type RequestKind = 'passes' | 'dropped' | 'host' | 'decided' | 'forwarded' | 'referer' | 'cookie' | 'length' | 'named'
/** The headers of a request that do not simply pass. */
const REQUEST_KINDS = new Map<string, RequestKind>([
  ...HOP_BY_HOP.map(name => [name, 'dropped'] as const),
  // undici cannot send trailers, so `Trailer` is dropped with them. The gateway answers `Expect` itself.
  ['trailer', 'dropped'], ['expect', 'dropped'],
  // To CGI this is `__proto__`, which Node's headers object cannot hold: hooks would not see it.
  ['--proto--', 'dropped'],
  ['x-forwarded-for', 'dropped'], ['x-forwarded-host', 'dropped'], ['x-forwarded-proto', 'dropped'], ['forwarded', 'forwarded'],
  ['connection', 'named'], ['host', 'host'], ['origin', 'decided'], ['referer', 'referer'], ['cookie', 'cookie'], ['content-length', 'length']
])

/** @param name - as it came, in any case */
const requestName = remember((lower): RequestKind => {
  if (!lower.includes('_')) return REQUEST_KINDS.get(lower) ?? prefixedKind(lower)
  // To CGI and WSGI `X-Forwarded-For` and `X_Forwarded_For` are the same name.
  const twin = lower.replaceAll('_', '-')
  return (REQUEST_KINDS.get(twin) ?? prefixedKind(twin)) === 'passes' ? 'passes' : 'dropped'
})

function prefixedKind (name: string): RequestKind {
  if (name.startsWith('x-forwarded-')) return 'forwarded'
  if (name.startsWith(':')) return 'dropped' // HTTP/2's pseudo-headers
  return name.startsWith('sec-fetch-') ? 'decided' : 'passes'
}

/** The parts of a Fastify request that its headers are made from. */
export interface Asked {
  readonly raw: { readonly headers: IncomingHttpHeaders, readonly rawHeaders: readonly string[] }
  readonly ip: string
  /** Only with `trustProxy`: the proxies' addresses, nearest first, and the client's. */
  readonly ips?: string[] | undefined
  readonly host: string
  readonly protocol: string
}

/** How the headers of requests are changed. */
export interface RequestRules {
  readonly upstream: Upstream
  /** The gateway's own entry in Via (RFC 9110 §7.6.3). */
  readonly via: string
  /** Security is on. If not, the upstream gets Host, Origin and Sec-Fetch-*, and may check them itself. */
  readonly checks: boolean
}

/**
 * The headers for the MLflow server: repeated ones, case and order as they came. Those that the checks have used and hop-by-hop ones
 * are removed. X-Forwarded-For, -Host, -Proto and Via are our own. What hooks have removed, changed or added in
 * `request.headers` counts.
 *
 * @param isTrusted - whether the peer is a proxy whose other X-Forwarded-* count
 * @param hasBody - whether a length is to be sent
 * @returns names and values, one after the other
 */
export function toUpstream (request: Asked, rules: RequestRules, isTrusted: boolean, hasBody: boolean): string[] {
  const { headers, rawHeaders } = request.raw
  const named = namedFields(headers.connection)
  const passed: string[] = []
  const seen: string[] = []
  /** What hooks have added, changed or removed. */
  const own: string[] = []
  let came: ReadonlyMap<string, Lines> | undefined
  let host: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { [i]: name = '', [i + 1]: value = '' } = rawHeaders
    const { kind, lower } = requestName(name)
    const current = headers[lower]
    seen.push(lower)
    if (kind === 'dropped' || own.includes(lower)) continue
    if (current !== value && isHooks(kind) && isChanged(lower, current, came ??= joinLines(rawHeaders))) {
      own.push(lower)
      removeLines(passed, other => other === lower)
      pushValues(passed, name, current)
      continue
    }
    if (current === undefined || (named?.has(lower) === true && kind !== 'length' && kind !== 'host')) continue
    switch (kind) {
      case 'passes': passed.push(name, value); break
      case 'decided': if (!rules.checks) passed.push(name, value); break
      case 'forwarded': if (isTrusted) passed.push(name, value); break
      case 'length': if (hasBody) passed.push(name, value); break
      case 'host': host = value; break
      case 'referer': passed.push(name, toUpstreamReferer(value, request, rules)); break
      case 'cookie': pushCookie(passed, name, value, headers)
    }
  }
  pushAdded(passed, headers, seen, own)
  if (!rules.checks) pushHost(passed, host ?? hostOf(headers))
  passed.push(
    'X-Forwarded-For', request.ips === undefined ? request.ip : request.ips.toReversed().join(', '),
    'X-Forwarded-Host', request.host, 'X-Forwarded-Proto', request.protocol, 'Via', rules.via
  )
  return passed
}

/** The kinds of headers that hooks may change. */
function isHooks (kind: RequestKind): boolean {
  return kind === 'passes' || kind === 'forwarded' || kind === 'cookie'
}

/** Of these Node keeps the first line only (its documentation, `message.headers`). */
const FIRST_COUNTS = new Set([
  'age', 'authorization', 'content-type', 'etag', 'expires', 'from', 'if-modified-since', 'if-unmodified-since', 'last-modified', 'location',
  'max-forwards', 'proxy-authorization', 'retry-after', 'server', 'user-agent'
])

/** The lines of a header: the first one, and all of them, joined as Node joins them. */
interface Lines { readonly first: string, readonly joined: string }

/** All lines at once: a request may have a thousand, and to look for those of each name would take a tenth of a second. */
function joinLines (rawHeaders: readonly string[]): Map<string, Lines> {
  const lines = new Map<string, Lines>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const { [i]: name = '', [i + 1]: value = '' } = rawHeaders
    const { lower } = requestName(name)
    const { first, joined } = lines.get(lower) ?? {}
    lines.set(lower, { first: first ?? value, joined: joined === undefined ? value : `${joined}${lower === 'cookie' ? '; ' : ', '}${value}` })
  }
  return lines
}

/**
 * Whether a hook has changed a header. Node joins repeated lines, so a client that repeats a header could otherwise pass its own
 * value by a hook that has put a user's name there.
 */
function isChanged (lower: string, current: string | string[] | undefined, came: ReadonlyMap<string, Lines>): boolean {
  const lines = came.get(lower)
  if (FIRST_COUNTS.has(lower) && current === lines?.first) return false
  return [current].flat().join(', ') !== lines?.joined
}

/** @param isGone - by the lower-case name */
function removeLines (passed: string[], isGone: (lower: string) => boolean): void {
  for (let i = passed.length - 2; i >= 0; i -= 2) {
    const { [i]: name = '' } = passed
    if (isGone(requestName(name).lower)) passed.splice(i, 2)
  }
}

function pushValues (passed: string[], name: string, values: string | string[] | undefined): void {
  for (const value of [values ?? []].flat()) passed.push(name, value)
}

/** HTTP/2 splits cookies. They are passed on as one header (RFC 9113 §8.2.3). */
function pushCookie (passed: string[], name: string, value: string, headers: IncomingHttpHeaders): void {
  const at = headers[':path'] === undefined ? -1 : passed.findIndex((text, i) => i % 2 === 0 && text === name)
  if (at === -1) passed.push(name, value)
  else passed[at + 1] += `; ${value}`
}

/**
 * Headers that a hook adds, such as a user's name, are meant for the upstream. To WSGI, `X_User` and `X-User` are the same name. So
 * if a hook has set `X-User`, the client's `X_User` is removed.
 */
function pushAdded (passed: string[], headers: IncomingHttpHeaders, seen: readonly string[], own: string[]): void {
  const added = Object.keys(headers).filter(name => !seen.includes(name) && isHooks(requestName(name).kind))
  own.push(...added)
  if (own.length > 0) removeLines(passed, lower => lower.includes('_') && !own.includes(lower) && own.includes(lower.replaceAll('_', '-')))
  for (const name of added) pushValues(passed, name, headers[name])
}

/** HTTP/1.0 needs no Host. If there is none, undici sends the upstream's. */
function pushHost (passed: string[], host: string | undefined): void {
  if (host !== undefined) passed.push('Host', host)
}

function hostOf (headers: IncomingHttpHeaders): string | undefined {
  const authority = headers[':authority']
  return typeof authority === 'string' ? authority : undefined
}

/**
 * Flask's form protection compares the Referer with the scheme and the Host that it sees. So the own page's Referer gets the
 * scheme and Host that the upstream is told. Another site's Referer is left alone.
 */
function toUpstreamReferer (referer: string, { host, protocol }: Asked, { upstream, checks }: RequestRules): string {
  const url = parseAbsoluteForm(referer)
  if (url === undefined || !isWebScheme(url.scheme)) return referer
  const { scheme, authority } = url
  if (withoutPort(authority, scheme) !== withoutPort(host, protocol)) return referer
  const rest = referer.slice(`${scheme}://${authority}`.length)
  return `${protocol}://${checks ? upstream.host : authority}${upstream.path}${rest}`
}

function withoutPort (authority: string, scheme: string): string {
  return authority.toLowerCase().replace(scheme.toLowerCase() === 'https' ? /:443$/ : /:80$/, '')
}
