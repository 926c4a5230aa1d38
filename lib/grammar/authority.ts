import { SocketAddress, isIPv4, isIPv6 } from 'node:net'

/** The port of an authority without a port. */
export const NO_PORT = -1

export type HostKind = 'name' | 'ipv4' | 'ipv6'

/** A parsed `host [":" port]`, in canonical form, so that equal hosts compare equal. */
export interface Authority {
  readonly kind: HostKind
  /** A name in lower case without its trailing dot, or an address as the platform prints it, without brackets. */
  readonly host: string
  /** 0 to 65535, or {@link NO_PORT}. */
  readonly port: number
}

/** A name of 253 characters, its trailing dot, a colon and five digits. */
const MAX_AUTHORITY_LENGTH = 260
const MAX_NAME_LENGTH = 253
export const MAX_PORT = 65535

const AUTHORITY = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/
const NAME = /^(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}$/
// The URL parser of every browser reads such a host as an IPv4 address: `2130706433` is 127.0.0.1
// (https://url.spec.whatwg.org/#ends-in-a-number-checker). So it is not a name here.
const ENDS_IN_A_NUMBER = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/
const IPV4_MAPPED = '::ffff:'

/**
 * Parses a Host, an `:authority`, an X-Forwarded-Host or the authority of an Origin: `host [":" port]`
 * (RFC 9110 §7.2, RFC 3986 §3.2.2), stricter than the RFC where clients and servers are known to disagree.
 *
 * @param text - the value as it stands in the message, without surrounding white space
 * @returns the authority in canonical form, or `undefined` if the value is malformed: userinfo, an empty
 *   host, label or port, a zone id, percent-encoding, non-ASCII, a number that is not four decimal octets
 */
export function parseAuthority (text: string): Authority | undefined {
  if (text.length > MAX_AUTHORITY_LENGTH) return undefined
  const parts = AUTHORITY.exec(text)
  if (parts === null) return undefined
  const [, host = '', digits] = parts
  const port = digits === undefined ? NO_PORT : Number(digits)
  return port > MAX_PORT ? undefined : parseHost(host, port)
}

/** @returns the host as an authority writes it: an IPv6 address in brackets */
export function formatHost ({ kind, host }: Authority): string {
  return kind === 'ipv6' ? `[${host}]` : host
}

/** @param missing - the port that a missing port means */
export function portOf ({ port }: Authority, missing: number): number {
  return port === NO_PORT ? missing : port
}

/** @param withoutPort - the port to leave out, for example a scheme's default */
export function formatAuthority (authority: Authority, withoutPort = NO_PORT): string {
  const { port } = authority
  return port === NO_PORT || port === withoutPort ? formatHost(authority) : `${formatHost(authority)}:${port}`
}

/**
 * @param text - a host name in lower case, ASCII
 * @returns the name without its trailing dot, or `undefined` if it is not a name
 */
export function parseName (text: string): string | undefined {
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  const valid = name.length <= MAX_NAME_LENGTH && NAME.test(name) && !ENDS_IN_A_NUMBER.test(name)
  return valid ? name : undefined
}

/**
 * @param text - an IP address, IPv6 without brackets and zone id
 * @returns its kind and its canonical form, an IPv4-mapped IPv6 address as its IPv4 address
 *   (RFC 4291 §2.5.5.2); `undefined` if it is not an address
 */
export function parseAddress (text: string): { kind: 'ipv4' | 'ipv6', host: string } | undefined {
  if (isIPv4(text)) return { kind: 'ipv4', host: text }
  // The first isIPv6 compiles a large expression. Names are spared that.
  if (!text.includes(':') || text.includes('%') || !isIPv6(text)) return undefined
  const { address } = new SocketAddress({ address: text, family: 'ipv6' })
  const embedded = address.slice(IPV4_MAPPED.length)
  return address.startsWith(IPV4_MAPPED) && isIPv4(embedded)
    ? { kind: 'ipv4', host: embedded }
    : { kind: 'ipv6', host: address }
}

/** @param address - an IP address, as a server listens on it */
export function isLoopback (address: string): boolean {
  const parsed = parseAddress(address)
  return parsed !== undefined && (parsed.host === '::1' || parsed.host.startsWith('127.'))
}

function parseHost (text: string, port: number): Authority | undefined {
  if (text.startsWith('[')) {
    // `[127.0.0.1]` is malformed: only IPv6 is written in brackets (RFC 3986 §3.2.2).
    const inner = text.slice(1, -1)
    const address = isIPv6(inner) ? parseAddress(inner) : undefined
    return address && { ...address, port }
  }
  if (isIPv4(text)) return { kind: 'ipv4', host: text, port }
  const name = parseName(text.toLowerCase())
  return name === undefined ? undefined : { kind: 'name', host: name, port }
}
