import type { IncomingHttpHeaders } from 'node:http'
import { namedFields, requestKind } from './names.js'
import type { Upstream } from './options.js'

/** What of a Fastify request its headers tell. */
export interface Asked {
  readonly raw: { readonly headers: IncomingHttpHeaders, readonly rawHeaders: readonly string[] }
  readonly ip: string
  /** Only with `trustProxy`: the proxies' addresses, nearest first, and the client's. */
  readonly ips?: string[] | undefined
  readonly host: string
  readonly protocol: string
}

/** What the headers of requests become. */
export interface RequestRules {
  readonly upstream: Upstream
  /** The gateway itself, as it stands in Via (RFC 9110 §7.6.3). */
  readonly via: string
  /** Nothing was decided: Host, Origin and Sec-Fetch-* are the upstream's to judge. */
  readonly passesDecided: boolean
}

/**
 * The headers that the MLflow server gets: doubles, case and order as they came, without those that were decided on and those
 * meant for one hop, and with X-Forwarded-For, -Host, -Proto and Via of our own.
 *
 * @param isTrusted - whether the peer is a proxy whose other X-Forwarded-* count
 * @param hasBody - whether a length is to be sent
 * @returns names and values, one after the other
 */
export function toUpstream (request: Asked, rules: RequestRules, isTrusted: boolean, hasBody: boolean): string[] {
  const { headers, rawHeaders } = request.raw
  const named = namedFields(headers.connection)
  const passed: string[] = []
  let host: string | undefined
  let cookies: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = rawHeaders[i + 1] ?? ''
    const kind = requestKind(name)
    if (named?.includes(name.toLowerCase()) === true && kind !== 'length' && kind !== 'host') continue
    switch (kind) {
      case 'passes': passed.push(name, value); break
      case 'decided': if (rules.passesDecided) passed.push(name, value); break
      case 'forwarded': if (isTrusted) passed.push(name, value); break
      case 'length': if (hasBody) passed.push(name, value); break
      case 'host': host = value; break
      case 'referer': passed.push(name, toUpstreamReferer(value, request, rules)); break
      case 'cookie':
        if (headers[':path'] === undefined) passed.push(name, value)
        else cookies = cookies === undefined ? value : `${cookies}; ${value}` // HTTP/2 splits them (RFC 9113 §8.2.3)
    }
  }
  if (cookies !== undefined) passed.push('cookie', cookies)
  if (rules.passesDecided) pushHost(passed, host ?? hostOf(headers))
  passed.push(
    'X-Forwarded-For', request.ips === undefined ? request.ip : request.ips.toReversed().join(', '),
    'X-Forwarded-Host', request.host, 'X-Forwarded-Proto', request.protocol, 'Via', rules.via
  )
  return passed
}

/** HTTP/1.0 needs no Host: then the client of the upstream sends its own. */
function pushHost (passed: string[], host: string | undefined): void {
  if (host !== undefined) passed.push('Host', host)
}

function hostOf (headers: IncomingHttpHeaders): string | undefined {
  const authority = headers[':authority']
  return typeof authority === 'string' ? authority : undefined
}

const REFERER = /^(https?):\/\/([^/?#]*)/i

/**
 * Flask's form protection compares the Referer with the scheme and the Host that it sees. Those of the own page become what
 * the upstream is told; another site's Referer is left alone.
 */
function toUpstreamReferer (referer: string, { host, protocol }: Asked, { upstream, passesDecided }: RequestRules): string {
  const [start, scheme, authority] = REFERER.exec(referer) ?? []
  if (start === undefined || scheme === undefined || authority === undefined) return referer
  if (withoutPort(authority, scheme) !== withoutPort(host, protocol)) return referer
  return `${protocol}://${passesDecided ? authority : upstream.host}${upstream.path}${referer.slice(start.length)}`
}

function withoutPort (authority: string, scheme: string): string {
  return authority.toLowerCase().replace(scheme.toLowerCase() === 'https' ? /:443$/ : /:80$/, '')
}
