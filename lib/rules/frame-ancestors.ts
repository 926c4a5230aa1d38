import { EntryProblem } from '../grammar/entry-problem.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import { defaultPort } from '../grammar/origin.js'
import { ANY_PORT } from '../grammar/ports.js'
import { parseEntryOf } from '../settings/problem.js'
import { parseOriginEntry } from './origin-rules.js'

/**
 * Compiles `frameAncestors` into the `frame-ancestors` directive (CSP Level 3 §6.4.2), the server's own origin first.
 *
 * @param entries - trimmed, none empty; none at all for no directive
 * @returns `frame-ancestors 'self' https://notebook.company.com`, or `undefined` where there are no entries
 * @throws SettingProblem with the entry and its fix
 */
export function compileFrameAncestors (entries: readonly string[]): string | undefined {
  if (entries.length === 0) return undefined
  const sources = entries.filter(entry => entry !== "'self'").map(entry => parseEntryOf('frameAncestors', entry, parseSource))
  return ["frame-ancestors 'self'", ...sources].join(' ')
}

function parseSource (entry: string): string {
  const { scheme, pattern, port } = parseOriginEntry(entry)
  return `${scheme}://${formatPattern(pattern)}${formatPort(scheme, port)}`
}

function formatPattern (pattern: HostPattern): string {
  if (pattern.kind === 'name') return pattern.host
  if (pattern.kind === 'below') return `*.${pattern.parent}`
  if (pattern.kind === 'glob' && pattern.first + pattern.last === '' && pattern.middle.length === 0) return '*'
  if (pattern.kind === 'address' && !pattern.host.includes(':')) return pattern.host
  throw new EntryProblem('cannot be said in a Content-Security-Policy: "*" stands for the whole left of a name, and there are ' +
    'neither ranges nor IPv6 addresses')
}

function formatPort (scheme: string, port: number): string {
  if (port === ANY_PORT) return ':*'
  return port === defaultPort(scheme) ? '' : `:${port}`
}
