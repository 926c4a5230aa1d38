import { invalidOption } from '../settings/errors.js'
import { EntryProblem } from '../grammar/host-pattern.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import { defaultPort } from '../grammar/origin.js'
import { parseOriginEntry } from './origin-rules.js'
import { ANY_PORT } from '../grammar/ports.js'
import type { FrameOptions } from '../../types/index.js'

/** A Content-Security-Policy header as a reply holds it. */
type PolicyHeader = string | number | readonly string[] | undefined

/** What `frameAncestors` does to a reply's Content-Security-Policy. */
export interface FrameAncestors {
  /** The policy of the plugins: its frame-ancestors give way to ours, but for `'none'`. */
  replaceIn (policy: PolicyHeader): string | undefined
  /** The finished policy: a frame-ancestors that the route's handler wrote itself stands. */
  addTo (policy: PolicyHeader): string
}

// An app that lets nobody frame a response means it, wherever it says so; no source at all is nobody, too.
const FRAMES_NOBODY = /frame-ancestors(\s+'none'|\s*([;,]|$))/i
const DIRECTIVE = /^\s*frame-ancestors(?=\s|$)/i

const OVERRIDES = { SAMEORIGIN: "frame-ancestors 'self'", DENY: "frame-ancestors 'none'", NONE: undefined }

/**
 * Compiles `frameAncestors` into the `frame-ancestors` directive (CSP Level 3 §6.4.2), the server's own origin first.
 *
 * @param entries - trimmed, none empty; none at all for no directive
 * @returns `undefined` where there are no entries
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION with the entry and its fix
 */
export function compileFrameAncestors (entries: readonly string[]): FrameAncestors | undefined {
  if (entries.length === 0) return undefined
  const sources = entries.filter(entry => entry !== "'self'").map(parseSource)
  const directive = ["frame-ancestors 'self'", ...sources].join(' ')
  return {
    replaceIn: remember(policy => hasDirective(policy) && !FRAMES_NOBODY.test(policy)
      ? splitPolicies(policy).map(single => replace(single, directive)).join(', ')
      : undefined),
    addTo: remember(policy => hasDirective(policy) ? policy : add(policy, directive))
  }
}

/** An app's policy is the same for every reply, or new for every reply where it carries a nonce: one place is enough. */
function remember<Result> (compute: (policy: string) => Result): (policy: PolicyHeader) => Result {
  let known: { policy: string, result: Result } | undefined
  return header => {
    const policy = join(header)
    if (known?.policy !== policy) known = { policy, result: compute(policy) }
    return known.result
  }
}

function join (policy: PolicyHeader): string {
  return policy === undefined ? '' : [policy].flat().join(', ')
}

function splitPolicies (policy: string): string[] {
  return policy.split(',').map(single => single.trim())
}

function hasDirective (policy: string): boolean {
  return splitPolicies(policy).some(single => single.split(';').some(directive => DIRECTIVE.test(directive)))
}

/**
 * Replaces the frame-ancestors of the plugins by what a route's own `frameOptions` says.
 *
 * @returns the policy, empty where nothing of it is left; `undefined` where it has no frame-ancestors
 */
export function overrideFrameAncestors (policy: PolicyHeader, frameOptions: FrameOptions): string | undefined {
  const text = join(policy)
  if (!hasDirective(text)) return undefined
  const directive = OVERRIDES[frameOptions]
  return splitPolicies(text)
    .map(single => directive === undefined ? remove(single) : replace(single, directive))
    .filter(single => single !== '').join(', ')
}

/** Browsers enforce each of several policies, so each that has the directive must name the sites. */
function replace (policy: string, directive: string): string {
  return policy.split(';').map(text => DIRECTIVE.test(text) ? text.replace(/\S.*/s, directive) : text).join(';')
}

function remove (policy: string): string {
  return policy.split(';').filter(text => !DIRECTIVE.test(text)).join(';')
}

function add (policy: string, directive: string): string {
  const rest = policy.replace(/[\s;]+$/, '')
  return rest === '' ? directive : `${rest}; ${directive}`
}

function parseSource (entry: string): string {
  try {
    const { scheme, pattern, port } = parseOriginEntry(entry)
    return `${scheme}://${formatPattern(pattern)}${formatPort(scheme, port)}`
  } catch (error) {
    throw invalidOption('frameAncestors', entry, error)
  }
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
