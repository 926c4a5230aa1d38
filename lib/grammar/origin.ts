import { NO_PORT, parseAuthority, portOf } from './authority.js'
import type { Authority } from './authority.js'

/** A parsed Origin: `scheme "://" host [":" port]`, in canonical form, so that equal origins compare equal. */
export interface Origin {
  /** In lower case, without the colon. */
  readonly scheme: string
  readonly authority: Authority
  /** The port; the scheme's default if the Origin has none; `NO_PORT` if the scheme has no default. */
  readonly port: number
  /** The scheme's default, or `NO_PORT`. */
  readonly defaultPort: number
}

/** A limit of our own. Registered schemes are shorter. */
export const MAX_SCHEME_LENGTH = 64

const ORIGIN = new RegExp(`^([A-Za-z][A-Za-z0-9+.-]{0,${MAX_SCHEME_LENGTH - 1}})://(.+)$`)

/**
 * Parses the value of an Origin header (RFC 6454 §6.2, the Fetch standard's serialised origin).
 *
 * @returns `undefined` for `null`, for two values in one, and for anything with a path, userinfo or a malformed
 *   authority
 */
export function parseOrigin (text: string): Origin | undefined {
  const [, written = '', rest = ''] = ORIGIN.exec(text) ?? []
  const authority = parseAuthority(rest)
  if (authority === undefined) return undefined
  const scheme = written.toLowerCase()
  const missing = defaultPort(scheme)
  return { scheme, authority, port: portOf(authority, missing), defaultPort: missing }
}

/** @returns the scheme's default port, or `NO_PORT` */
export function defaultPort (scheme: string): number {
  switch (scheme) {
    case 'http': return 80
    case 'https': return 443
    default: return NO_PORT
  }
}

/** A server's own pages have one of these schemes. */
export function isWebScheme (scheme: string): boolean {
  return scheme === 'http' || scheme === 'https'
}

/**
 * Whether a page of this Origin is on this authority. The scheme is not compared, because TLS often ends at a proxy. A
 * missing port on either side means the default of the Origin's scheme.
 */
export function isAt (origin: Origin, authority: Authority | undefined): boolean {
  if (authority === undefined || origin.authority.host !== authority.host) return false
  return origin.port === portOf(authority, origin.defaultPort)
}
