import { NO_PORT, formatAuthority, formatHost } from '../grammar/authority.js'
import type { Authority } from '../grammar/authority.js'
import { AuthorityMatcher } from './authority-matcher.js'
import { isWordForEverything, refuseOtherList, refuseWordForEverything } from '../grammar/entry-mistakes.js'
import { EntryProblem } from '../grammar/entry-problem.js'
import { parseHostPattern, splitPort } from '../grammar/host-pattern.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import { ANY_PORT } from '../grammar/ports.js'
import { parseAbsoluteForm } from '../grammar/request-target.js'
import { parseEntryOf } from '../settings/problem.js'
import { nameOf } from '../settings/table.js'
import { withTrustedFix } from './trusted-fix.js'
import { wildcardsOf } from './wildcards.js'
import type { Wildcard } from './wildcards.js'

/** `allowedHosts`, compiled. */
export interface HostRules {
  /** `*` is in the list: host validation is off. */
  readonly allowsEverything: boolean
  readonly warnings: readonly string[]
  readonly wildcards: readonly Wildcard[]
  allows (authority: Authority): boolean
  /** The entry that would allow this host, no wider than the entries it already has. */
  entryFor (authority: Authority): string
}

/** Every IP address: no DNS answer can make an address mean another server. */
const ADDRESSES: readonly HostPattern[] = [
  { kind: 'range', network: '0.0.0.0', prefix: 0, family: 'ipv4' }, { kind: 'range', network: '::', prefix: 0, family: 'ipv6' }
]

/**
 * Compiles the entries of `allowedHosts` (docs/options.md has the table of entries).
 *
 * @param entries - trimmed, none empty, `@default` already replaced
 * @throws SettingProblem with the entry and its fix
 */
export function compileHostRules (entries: readonly string[]): HostRules {
  const matcher = new AuthorityMatcher()
  const wildcards: Wildcard[] = []
  for (const entry of entries) {
    for (const { pattern, port } of parseEntryOf('allowedHosts', entry, parseHostEntry)) {
      wildcards.push(...wildcardsOf('allowedHosts', entry, pattern))
      matcher.add(pattern, port)
    }
  }
  const allowsEverything = entries.includes('*')
  return {
    allowsEverything,
    warnings: allowsEverything ? [`${nameOf('allowedHosts')} has "*": host validation is off, DNS rebinding is not stopped`] : [],
    wildcards,
    allows: authority => allowsEverything || allowsAuthority(matcher, authority),
    entryFor (authority) {
      const entry = matcher.names(authority) ? formatAuthority(authority) : formatHost(authority)
      return isWordForEverything(entry) ? `${entry}:*` : entry
    }
  }
}

/** A Host without a port means the scheme's default port. Behind a proxy the server does not know the scheme, so both count. */
function allowsAuthority (matcher: AuthorityMatcher, authority: Authority): boolean {
  return authority.port === NO_PORT
    ? matcher.allows(authority, 80) || matcher.allows(authority, 443)
    : matcher.allows(authority, authority.port)
}

interface HostEntry { readonly pattern: HostPattern, readonly port: number }

function parseHostEntry (entry: string): HostEntry[] {
  if (entry === '*') return []
  if (entry === '@addresses') return ADDRESSES.map(pattern => ({ pattern, port: ANY_PORT }))
  refuseWordForEverything(entry)
  try {
    return [parseEntry(entry)]
  } catch (error) {
    throw withTrustedFix(error, fix => {
      refuseWordForEverything(fix)
      return parseEntry(fix).pattern
    })
  }
}

function parseEntry (entry: string): HostEntry {
  refuseURL(entry)
  refuseOtherList(entry)
  const { host, port = ANY_PORT } = splitPort(entry)
  if (host === '*') throw new EntryProblem('allows every host on one port. An attacker can choose that port, so it allows every host')
  return { pattern: parseHostPattern(host), port }
}

function refuseURL (entry: string): void {
  const url = parseAbsoluteForm(entry)
  if (url !== undefined) throw new EntryProblem('is a URL, not a host', url.authority.replace(/.*@/, ''))
  if (entry.startsWith('@')) throw new EntryProblem('is not the name of a list', '@default')
}
