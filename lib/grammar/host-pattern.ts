import { isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'
import { MAX_PORT, parseAddress, parseName } from './authority.js'
import { refuseOtherList, withCommas } from './entry-mistakes.js'
import { EntryProblem } from './entry-problem.js'
import { ANY_PORT } from './ports.js'
import { quote } from './quote.js'

/** The host part of an entry of an allow-list. */
export type HostPattern =
  | { readonly kind: 'name', readonly host: string }
  | { readonly kind: 'address', readonly host: string }
  | { readonly kind: 'range', readonly network: string, readonly prefix: number, readonly family: 'ipv4' | 'ipv6' }
  /** `*.company.com`: `parent` is `company.com`. */
  | { readonly kind: 'below', readonly parent: string }
  /** A name with any other `*`: the text before the first `*`, the text after the last, and the pieces between them. */
  | { readonly kind: 'glob', readonly first: string, readonly middle: readonly string[], readonly last: string }

const OCTETS_THEN_WILDCARDS = /^((?:(?:0|[1-9][0-9]{0,2})\.){1,3})\*(?:\.\*)*$/
const DIGITS_DOTS_AND_WILDCARDS = /^[.*]*[0-9][0-9.*]*$/
const NAME_CHARACTERS_AND_WILDCARDS = /^[a-z0-9_.*-]+$/
const PORT = /^[0-9]{1,5}$/
// A prefix length, a path, userinfo or two entries in one. parseHostPattern has a better message for these.
const NOT_IN_AN_AUTHORITY = /[/@\s]/
const CIDR = /^([^/]+)\/([0-9]{1,3})$/
const RANGE_WITH_PORT = /^(.+\/[0-9]{1,3}):(?:[0-9]+|\*)$/

/**
 * Splits `host [":" port]` of an entry. A bare IPv6 address is a host without a port.
 *
 * @returns the host as written, and the port: 0 to 65535, {@link ANY_PORT} for `*`, `undefined` for none
 * @throws EntryProblem if the port is neither a number up to 65535 nor `*`
 */
export function splitPort (entry: string): { host: string, port: number | undefined } {
  const colon = entry.lastIndexOf(':')
  const hasOneColon = colon !== -1 && entry.indexOf(':') === colon
  const followsBracket = entry.charAt(colon - 1) === ']'
  if (!(hasOneColon || followsBracket) || NOT_IN_AN_AUTHORITY.test(entry)) return { host: entry, port: undefined }
  const host = entry.slice(0, colon)
  return { host, port: parsePort(entry.slice(colon + 1), host) }
}

function parsePort (text: string, host: string): number {
  if (text === '*') return ANY_PORT
  if (!PORT.test(text) || Number(text) > MAX_PORT) {
    throw new EntryProblem(`has no valid port: ${quote(text)} is neither a number from 0 to ${MAX_PORT} nor "*"`, host)
  }
  return Number(text)
}

/**
 * Parses the host of an entry: a name, a name with wildcards, an address, leading octets of an IPv4 address
 * (`192.168.*`) or an address range (`10.0.0.0/8`). Non-ASCII names become their punycode form.
 *
 * @param text - the entry without its port
 * @throws EntryProblem with the likely fix
 */
export function parseHostPattern (text: string): HostPattern {
  const address = parseAddress(withoutBrackets(text))
  if (address !== undefined) return { kind: 'address', host: address.host }
  const range = CIDR.exec(text)
  if (range !== null) return parseRange(range)
  const [, withoutPort = ''] = RANGE_WITH_PORT.exec(text) ?? []
  if (withoutPort !== '') throw new EntryProblem('is a range with a port, but a range allows every port', withoutPort)
  refuseForeignSyntax(text)
  return parseNamePattern(toASCII(text))
}

function withoutBrackets (text: string): string {
  const inner = text.slice(1, -1)
  return text.startsWith('[') && text.endsWith(']') && isIPv6(inner) ? inner : text
}

function parseRange ([, base = '', digits]: RegExpExecArray): HostPattern {
  const prefix = Number(digits)
  const written = withoutBrackets(base)
  const address = parseAddress(written)
  if (address === undefined) throw new EntryProblem('has a path, but a host has none', base)
  // A range within ::ffff:0:0/96 is one of IPv4 addresses: hosts are compared in that form.
  const mapped = address.kind === 'ipv4' && isIPv6(written)
  const length = mapped ? prefix - 96 : prefix
  const bits = address.kind === 'ipv4' ? 32 : 128
  if (length < 0 || length > bits) {
    throw new EntryProblem(`has no valid prefix length: ${prefix} is not from ${mapped ? 96 : 0} to ${mapped ? 128 : bits}`)
  }
  return { kind: 'range', network: address.host, prefix: length, family: address.kind }
}

function refuseForeignSyntax (text: string): void {
  if (text === '') throw new EntryProblem('has no host')
  refuseOtherList(text)
  if (text.includes('@')) throw new EntryProblem('has userinfo, but a host has none', text.slice(text.lastIndexOf('@') + 1))
  if (text.includes('/')) throw new EntryProblem('has a path, but a host has none', text.includes('[') ? undefined : text.split('/', 1)[0])
  if (text.includes('%')) throw new EntryProblem('has a zone id or an escape, but a host has neither', text.replace(/%[^\]]*/, ''))
  if (/\s/.test(text)) throw new EntryProblem('has white space; entries are separated by commas', withCommas(text))
  if (text.includes('?') || (/\[[^:]*\]/).test(text)) {
    throw new EntryProblem('has a "?" or "[…]" pattern; the only wildcard is "*"', text.replace(/\?+|\[[^\]]*\]/g, '*'))
  }
  if (/[:[\]]/.test(text)) throw new EntryProblem('has more than one colon or a bracket, but is not a valid IPv6 address')
}

/** @returns the text in lower case and punycode, its wildcards kept (UTS 46, by the platform's URL parser) */
function toASCII (text: string): string {
  // eslint-disable-next-line no-control-regex -- the whole of ASCII, control characters included
  if (/^[\x00-\x7f]*$/.test(text)) return text.toLowerCase()
  // Punycode encodes whole labels. A wildcard inside such a label would match something else than it shows.
  // eslint-disable-next-line no-control-regex -- everything outside ASCII
  if (text.split('.').some(label => label.includes('*') && /[^\x00-\x7f]/.test(label))) {
    throw new EntryProblem('has "*" and non-ASCII letters in one label')
  }
  return domainToASCII(text)
}

function parseNamePattern (text: string): HostPattern {
  if (text.startsWith('.')) throw new EntryProblem('begins with a dot', `${text.slice(1)},*${text}`)
  if (/^[.*]+$/.test(text)) throw new EntryProblem('has only wildcards, which match every name')
  if (DIGITS_DOTS_AND_WILDCARDS.test(text)) return parseOctets(text)
  if (!NAME_CHARACTERS_AND_WILDCARDS.test(text)) throw new EntryProblem('has characters that a host name cannot have')
  // For the grammar of names, a wildcard counts as one character.
  const name = parseName(text.replaceAll('*', 'x'))
  if (name === undefined) {
    throw new EntryProblem('is not a valid host name: a label has 1 to 63 characters, the whole name at most 253, and the last label is not a number')
  }
  const pattern = text.slice(0, name.length)
  if (!pattern.includes('*')) return { kind: 'name', host: pattern }
  if (pattern.lastIndexOf('*') === 0 && pattern.startsWith('*.')) return { kind: 'below', parent: pattern.slice(2) }
  return parseGlob(pattern)
}

/** @param pattern - with at least one `*` */
export function parseGlob (pattern: string): HostPattern {
  const from = pattern.indexOf('*')
  const to = pattern.lastIndexOf('*')
  return {
    kind: 'glob',
    first: pattern.slice(0, from),
    middle: pattern.slice(from, to).split('*').filter(piece => piece !== ''),
    last: pattern.slice(to + 1)
  }
}

/** `192.168.*`: the addresses with these leading octets, never a name that begins so. */
function parseOctets (text: string): HostPattern {
  const [, leading = ''] = OCTETS_THEN_WILDCARDS.exec(text) ?? []
  const octets = leading.split('.').slice(0, -1)
  if (octets.length === 0 || text.split('.').length > 4 || octets.some(octet => Number(octet) > 255)) {
    throw new EntryProblem('is not a valid IPv4 address or range: write four decimal octets from 0 to 255 without leading zeros, ' +
      'leading octets and a wildcard (192.168.*), or a prefix length (10.0.0.0/8)')
  }
  const network = [...octets, '0', '0', '0'].slice(0, 4).join('.')
  return { kind: 'range', network, prefix: 8 * octets.length, family: 'ipv4' }
}

/**
 * @returns the name right above the label of the last wildcard: `company.com` for `*.company.com` and `a*b.company.com`; empty if
 *   there is none, `undefined` if the pattern has no wildcard
 */
export function wildcardParent (pattern: HostPattern): string | undefined {
  if (pattern.kind === 'below') return pattern.parent
  return pattern.kind === 'glob' ? pattern.last.slice(pattern.last.indexOf('.') + 1 || pattern.last.length) : undefined
}
