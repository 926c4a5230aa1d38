import { NO_PORT, parseAuthority, portOf } from './authority.js'
import type { Authority } from './authority.js'

/** A parsed Origin: `scheme "://" host [":" port]`, in the one form in which it is compared. */
export interface Origin {
  /** In lower case, without the colon. */
  readonly scheme: string
  readonly authority: Authority
  /** The port, or the scheme's default where the Origin carries none; `NO_PORT` where there is neither. */
  readonly port: number
}

/** More than any scheme has. */
export const MAX_SCHEME_LENGTH = 64

const ORIGIN = /^([A-Za-z][A-Za-z0-9+.-]{0,63}):\/\/(.+)$/

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
  return { scheme, authority, port: portOf(authority, defaultPort(scheme)) }
}

/** @returns the port that the scheme's URLs leave out, or `NO_PORT` */
export function defaultPort (scheme: string): number {
  switch (scheme) {
    case 'http': return 80
    case 'https': return 443
    default: return NO_PORT
  }
}

/** Pages that a server can have for its own come by these schemes only. */
export function isWebScheme (scheme: string): boolean {
  return scheme === 'http' || scheme === 'https'
}

/**
 * Whether a page of this Origin is on this authority. The scheme may differ, for TLS often ends at a proxy; a port
 * that is missing on either side is the default of the Origin's scheme.
 */
export function isAt (origin: Origin, authority: Authority | undefined): boolean {
  if (authority === undefined || origin.authority.host !== authority.host) return false
  return origin.port === portOf(authority, defaultPort(origin.scheme))
}
