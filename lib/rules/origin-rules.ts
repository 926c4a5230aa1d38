import { isIPv6 } from 'node:net'
import { AuthorityMatcher } from './authority-matcher.js'
import { refuseOtherList, refuseWordForEverything, withCommas } from '../grammar/entry-mistakes.js'
import { EntryProblem } from '../grammar/entry-problem.js'
import { parseGlob, parseHostPattern, splitPort } from '../grammar/host-pattern.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import { MAX_SCHEME_LENGTH, defaultPort, isWebScheme } from '../grammar/origin.js'
import type { Origin } from '../grammar/origin.js'
import { ANY_PORT } from '../grammar/ports.js'
import { parseEntryOf } from '../settings/problem.js'
import { nameOf } from '../settings/table.js'
import { withTrustedFix } from './trusted-fix.js'
import { wildcardsOf } from './wildcards.js'
import type { Wildcard } from './wildcards.js'

/** `corsAllowedOrigins`, compiled. */
export interface OriginRules {
  /** `*` is in the list: every Origin is allowed, without credentials. */
  readonly allowsEverything: boolean
  readonly warnings: readonly string[]
  readonly wildcards: readonly Wildcard[]
  /** Origins without an ordinary host and port: `null`, `file://`, `app://.`. */
  allowsText (origin: string): boolean
  allows (origin: Origin): boolean
}

interface OriginEntry { readonly scheme: string, readonly pattern: HostPattern, readonly port: number }

const LOCAL = /^localhost(:\*)?$/i
/** Already parsed, because most servers use these, and the first parse of an IPv6 address takes Node milliseconds. */
const LOCAL_HOSTS: readonly HostPattern[] = [
  { kind: 'name', host: 'localhost' },
  { kind: 'below', parent: 'localhost' },
  { kind: 'range', network: '127.0.0.0', prefix: 8, family: 'ipv4' },
  { kind: 'address', host: '::1' }
]
const NAME_AND_PORT = /^[a-z0-9_*-]+(?:\.[a-z0-9_*-]+)+(?::[0-9*]+)?$/i
const ADDRESS_RANGE = /^((?:[0-9]{1,3}\.){3}[0-9]{1,3})\/([0-9]{1,2})$/
/** Entries that allow one Origin, by its exact text. */
const TEXT_ONLY = /^(?:null|file:\/\/\*?|.*:\/\/\.)$/i
/** Entries with line ends or blanks between them, as YAML and shells leave them. */
const SEVERAL = /\s\S+:\/\//
const SCHEME_AND_REST = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i

/**
 * Compiles the entries of `corsAllowedOrigins` (docs/options.md has the table of entries).
 *
 * @param entries - trimmed, none empty, `@default` already replaced
 * @throws SettingProblem with the entry and its fix
 */
export function compileOriginRules (entries: readonly string[]): OriginRules {
  const schemes = new Map<string, AuthorityMatcher>()
  const texts = new Set<string>()
  const warnings: string[] = []
  const wildcards: Wildcard[] = []
  for (const entry of entries) {
    const warning = warningFor(entry)
    if (warning !== undefined) warnings.push(`${nameOf('corsAllowedOrigins')} has ${JSON.stringify(entry)}: ${warning}`)
    for (const text of textsOf(entry)) texts.add(text)
    for (const { scheme, pattern, port } of parseEntryOf('corsAllowedOrigins', entry, parseEntry)) {
      if (isWebScheme(scheme)) wildcards.push(...wildcardsOf('corsAllowedOrigins', entry, pattern))
      const matcher = schemes.get(scheme) ?? new AuthorityMatcher()
      matcher.add(pattern, port)
      schemes.set(scheme, matcher)
    }
  }
  return {
    allowsEverything: entries.includes('*'),
    warnings,
    wildcards,
    allowsText: origin => texts.has(origin),
    allows: ({ scheme, authority, port }) => schemes.get(scheme)?.allows(authority, port) === true
  }
}

/** @returns the Origins without an ordinary host that an entry allows, as pages with such schemes send them */
function textsOf (entry: string): string[] {
  if (entry === 'null') return ['null']
  const [, scheme = '', rest = ''] = SCHEME_AND_REST.exec(entry.toLowerCase()) ?? []
  if (scheme === 'file') return rest === '' || rest === '*' ? ['file://'] : []
  return scheme !== '' && !isWebScheme(scheme) && (rest === '.' || rest === '*') ? [`${scheme}://.`] : []
}

function parseEntry (entry: string): OriginEntry[] {
  if (entry === '*' || (TEXT_ONLY.test(entry) && textsOf(entry).length > 0)) return []
  refuseWordForEverything(entry)
  return LOCAL.test(entry) ? localEntries(entry.endsWith('*')) : [parseOriginEntry(entry)]
}

/** `localhost:*` and `localhost`: this machine by http and https, on any port or the default one. */
function localEntries (anyPort: boolean): OriginEntry[] {
  return ['http', 'https'].flatMap(scheme => LOCAL_HOSTS.map(pattern => ({
    scheme,
    pattern,
    port: anyPort ? ANY_PORT : defaultPort(scheme)
  })))
}

/**
 * Parses `scheme "://" host [":" port]`, an entry with or without wildcards in the host.
 *
 * @throws EntryProblem with the likely fix
 */
export function parseOriginEntry (entry: string): OriginEntry {
  try {
    return parseSchemeAndHost(entry)
  } catch (error) {
    throw withTrustedFix(error, fix => LOCAL.test(fix) ? parseHostPattern('localhost') : parseSchemeAndHost(fix).pattern)
  }
}

function parseSchemeAndHost (entry: string): OriginEntry {
  refuseOtherList(entry)
  if (SEVERAL.test(entry)) throw new EntryProblem('has white space; entries are separated by commas', withCommas(entry))
  const [, written = '', rest = ''] = SCHEME_AND_REST.exec(entry) ?? []
  if (written === '') throw withoutScheme(entry)
  const scheme = written.toLowerCase()
  if (scheme.length > MAX_SCHEME_LENGTH) throw new EntryProblem(`has a scheme of more than ${MAX_SCHEME_LENGTH} characters`)
  if (scheme === 'file') throw new EntryProblem('names a host, but pages of local files have none', 'file://')
  if (scheme === 'ws' || scheme === 'wss') throw new EntryProblem('has the scheme of a WebSocket; write the scheme of the page that opens it', `http${entry.slice(2)}`)
  const path = rest.search(/[/?#]/)
  if (path !== -1) throw withPath(scheme, rest, path)
  // An IPv6 address has at least two colons. The first isIPv6 compiles a large expression, so it is called only then.
  if (rest.indexOf(':') !== rest.lastIndexOf(':') && isIPv6(rest)) throw new EntryProblem('has an IPv6 address without brackets', `${scheme}://[${rest}]`)
  try {
    const { host, port = defaultPort(scheme) } = splitPort(rest)
    return { scheme, pattern: host === '*' ? parseGlob(host) : parseHostPattern(host), port }
  } catch (error) {
    throw withScheme(scheme, error)
  }
}

function withoutScheme (entry: string): EntryProblem {
  if (entry.startsWith('@')) return new EntryProblem('is not the name of a list', entry === '@default' ? undefined : '@default')
  const local = /^(?:localhost|127\.|\[::1\])/i.test(entry)
  const host = entry.replace(/^(?:.*:)?\/\//, '').replace(/\/$/, '')
  return new EntryProblem('has no scheme', local || NAME_AND_PORT.test(host) ? `${local ? 'http' : 'https'}://${host}` : undefined)
}

function withPath (scheme: string, rest: string, path: number): EntryProblem {
  const [, octets = '', digits = ''] = ADDRESS_RANGE.exec(rest) ?? []
  if (octets === '') return new EntryProblem('has a path or a trailing slash, but an origin has neither', `${scheme}://${rest.slice(0, path)}`)
  const leading = octets.split('.').slice(0, Number(digits) / 8).join('.')
  return new EntryProblem('is an address range; origins allow ranges only by leading octets', Number(digits) % 8 === 0 ? `${scheme}://${leading}.*` : undefined)
}

/** Turns the fix for a host into one for an origin: the scheme is put before each of its entries. */
function withScheme (scheme: string, problem: unknown): unknown {
  if (!(problem instanceof EntryProblem) || problem.fix === undefined) return problem
  return new EntryProblem(problem.message, problem.fix.split(',').map(host => `${scheme}://${host}`).join(','))
}

function warningFor (entry: string): string | undefined {
  if (entry === '*') return 'every site may call this server and read its answers, without credentials'
  if (entry === 'null') return 'any page can give itself this Origin with a sandboxed frame'
  return /^file:/i.test(entry) ? 'any local file that is opened in a browser may call this server' : undefined
}
