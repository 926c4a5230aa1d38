import { EntryProblem } from '../grammar/entry-problem.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import { defaultPort, isWebScheme } from '../grammar/origin.js'
import { ANY_PORT } from '../grammar/ports.js'
import { parseEntryOf } from '../settings/problem.js'
import { parseOriginEntry } from './origin-rules.js'
import { withTrustedFix } from './trusted-fix.js'
import { wildcardsOf } from './wildcards.js'
import type { Wildcard } from './wildcards.js'

/** `frameAncestors`, compiled. */
export interface FrameAncestors {
  /** `frame-ancestors 'self' https://notebook.company.com`, or `undefined` if there are no entries. */
  readonly directive: string | undefined
  readonly wildcards: readonly Wildcard[]
}

/**
 * Compiles `frameAncestors` into the `frame-ancestors` directive (CSP Level 3 §6.4.2), the server's own origin first.
 *
 * @param entries - trimmed, none empty; an empty list means no directive
 * @throws SettingProblem with the entry and its fix
 */
export function compileFrameAncestors (entries: readonly string[]): FrameAncestors {
  const sources = entries.filter(entry => entry !== "'self'").map(entry => parseEntryOf('frameAncestors', entry, parseSource))
  return {
    directive: entries.length === 0 ? undefined : ["frame-ancestors 'self'", ...sources.map(({ text }) => text)].join(' '),
    wildcards: sources.flatMap(({ wildcards }) => wildcards)
  }
}

interface Source { readonly text: string, readonly wildcards: readonly Wildcard[] }

/** @throws EntryProblem with a fix only if that is a source itself: an origin may have what a policy cannot say */
function parseSource (entry: string): Source {
  try {
    return compileSource(entry)
  } catch (error) {
    throw withTrustedFix(error, fix => {
      compileSource(fix)
      return parseOriginEntry(fix).pattern
    })
  }
}

function compileSource (entry: string): Source {
  const { scheme, pattern, port } = parseOriginEntry(entry)
  const host = formatPattern(pattern)
  // CSP Level 3 §2.3.1: a browser ignores a source whose host has other characters.
  if (/[^a-z0-9.*-]/.test(host)) throw new EntryProblem('cannot be written in a Content-Security-Policy: host names there have no "_"')
  const wildcards = isWebScheme(scheme) ? wildcardsOf('frameAncestors', entry, pattern) : []
  return { text: `${scheme}://${host}${formatPort(scheme, port)}`, wildcards }
}

function formatPattern (pattern: HostPattern): string {
  if (pattern.kind === 'name') return pattern.host
  if (pattern.kind === 'below') return `*.${pattern.parent}`
  if (pattern.kind === 'glob' && pattern.first + pattern.last === '' && pattern.middle.length === 0) return '*'
  if (pattern.kind === 'address' && !pattern.host.includes(':')) return pattern.host
  throw new EntryProblem('cannot be written in a Content-Security-Policy: there "*" stands for the whole left part of a name, and there ' +
    'are neither ranges nor IPv6 addresses')
}

function formatPort (scheme: string, port: number): string {
  if (port === ANY_PORT) return ':*'
  return port === defaultPort(scheme) ? '' : `:${port}`
}
