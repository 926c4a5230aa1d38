import { overrideFrameAncestors } from '../http/content-security-policy.js'
import type { FrameAncestorsEditor } from '../http/content-security-policy.js'
import { varyByOrigin } from '../http/vary.js'
import { HOP_BY_HOP, namedFields, remember } from './header-names.js'
import type { Upstream } from './options.js'
import type { FrameOptions } from '../../types/index.js'

/** What to do with a header field of an answer. */
type AnswerKind = 'passes' | 'dropped' | 'decided' | 'vary' | 'csp' | 'location' | 'length' | 'named' | 'coding' | 'trailer'

/** The headers of an answer that do not simply pass. */
const ANSWER_KINDS = new Map<string, AnswerKind>([
  ...HOP_BY_HOP.map(name => [name, 'dropped'] as const),
  ['transfer-encoding', 'coding'], ['trailer', 'trailer'], ['connection', 'named'], ['content-length', 'length'], ['vary', 'vary'],
  ['content-security-policy', 'csp'], ['location', 'location'], ['x-frame-options', 'decided'], ['x-content-type-options', 'decided']
])

/** @param name - as it came, in any case */
const answerName = remember((lower): AnswerKind =>
  ANSWER_KINDS.get(lower) ?? (lower.startsWith('access-control-') ? 'decided' : 'passes'))

/** How the headers of answers are changed. */
export interface AnswerRules {
  readonly upstream: Upstream
  /** Security is on: the gateway's security headers replace the upstream's. */
  readonly checks: boolean
  /** `frameAncestors`, compiled. */
  readonly ancestors: FrameAncestorsEditor | undefined
}

/** The parts of the request that matter. */
interface Asked {
  /** The route's own frame options. They replace `frameAncestors`. */
  readonly frameOptions: FrameOptions | undefined
  /** HTTP/1.0 has no chunks, so no trailers. */
  readonly knowsTrailers: boolean
}

/** The gateway's own address, for answers. */
export interface Public { readonly host: string, readonly protocol: string }

/** The headers that hooks have set, by lower-case name. */
type OwnHeaders = Readonly<Record<string, number | string | readonly string[] | undefined>>

/** The headers of an answer, for the client. */
export interface AnswerHeaders {
  /** Names and values, one after the other: repeated ones, case and order as they came, then our own. */
  readonly fields: string[]
  /** The body has a length. */
  readonly hasLength: boolean
  /** A transfer coding whose label would be lost (`Transfer-Encoding: gzip, chunked`). Without it, nobody could read the body. */
  readonly isCoded: boolean
}

/**
 * The headers of the answer, as they came. The gateway's own security headers replace the upstream's, and in redirects its
 * address replaces the upstream's.
 *
 * @param raw - names and values, one after the other
 * @param own - headers that hooks have set. The upstream's header of the same name wins; cookies of both are kept
 */
export function toClient (
  raw: readonly Buffer[], own: OwnHeaders, { host, protocol }: Public, rules: AnswerRules, { frameOptions, knowsTrailers }: Asked
): AnswerHeaders {
  const { checks, upstream, ancestors } = rules
  const fields: string[] = []
  const lower: string[] = []
  const vary: string[] = []
  const csp: string[] = []
  let connection: string | undefined
  let trailer: string | undefined
  let hasLength = false
  let isCoded = false

  const push = (name: string, value: string) => { fields.push(name, value); lower.push(answerName(name).lower) }

  for (let i = 0; i < raw.length; i += 2) {
    const name = latin1(raw[i])
    const value = latin1(raw[i + 1])
    switch (answerName(name).kind) {
      case 'passes': push(name, value); break
      case 'decided': if (!checks) push(name, value); break
      case 'vary': if (checks) vary.push(value); else push(name, value); break
      case 'csp': if (checks) csp.push(value); else push(name, value); break
      case 'location': push(name, toPublic(value, host, protocol, upstream)); break
      case 'length': hasLength = true; push(name, value); break
      case 'named': connection = connection === undefined ? value : `${connection},${value}`; break
      case 'trailer': trailer = trailer === undefined ? value : `${trailer}, ${value}`; break
      case 'coding': isCoded ||= !/^\s*chunked\s*$/i.test(value)
    }
  }
  if (trailer !== undefined && !hasLength && knowsTrailers) push('Trailer', trailer)
  const named = namedFields(connection)
  if (named !== undefined) removeNamed(fields, lower, vary, csp, named)

  for (const name in own) {
    const value = own[name]
    if (value === undefined || (checks && (name === 'vary' || name === CSP))) continue
    if (name !== 'set-cookie' && lower.includes(name)) continue
    for (const one of [value].flat()) fields.push(name, String(one))
  }
  if (checks) {
    fields.push('vary', varyByOrigin(vary.length > 0 ? vary : own.vary))
    const policy = settle(csp, own[CSP], frameOptions === undefined ? ancestors : undefined)
    if (policy !== '') fields.push(CSP, policy)
  }
  return { fields, hasLength, isCoded }
}

/**
 * The headers of an interim answer (103), or trailers. The security headers are in the answer itself. Hop-by-hop fields and
 * those that frame a body do not belong here (RFC 9110 §6.5.1). In HTTP/2, Node would throw an error for them that nobody can catch.
 */
export function toHintsOrTrailers (raw: readonly Buffer[]): string[] {
  const fields: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = latin1(raw[i])
    if (answerName(name).kind === 'passes') fields.push(name, latin1(raw[i + 1]))
  }
  return fields
}

const CSP = 'content-security-policy'
const NOTHING = Buffer.alloc(0)

/** The gateway decides who may frame the pages, and browsers prefer frame-ancestors to X-Frame-Options. */
function settle (upstreams: readonly string[], own: OwnHeaders[string], ancestors: FrameAncestorsEditor | undefined): string {
  const policy = upstreams.length === 0 ? [own ?? []].flat().join(', ') : upstreams.join(', ')
  const rest = upstreams.length === 0 ? policy : overrideFrameAncestors(policy, 'NONE') ?? policy
  return ancestors === undefined ? rest : ancestors.addTo(rest)
}

/** Fields that Connection names are for this hop only (RFC 9110 §7.6.1). Content-Length belongs to the body, so it stays. */
function removeNamed (fields: string[], lower: string[], vary: string[], csp: string[], named: ReadonlySet<string>): void {
  if (named.has('vary')) vary.length = 0
  if (named.has(CSP)) csp.length = 0
  for (let i = lower.length - 1; i >= 0; i--) {
    const { [i]: name = '' } = lower
    if (name === 'content-length' || !named.has(name)) continue
    fields.splice(2 * i, 2)
    lower.splice(i, 1)
  }
}

/** The types do not know that names and values come in pairs. */
function latin1 (bytes: Buffer = NOTHING): string {
  return bytes.toString('latin1')
}

/**
 * Makes a redirect to the upstream's own address lead to the gateway. Other redirects are left alone. The
 * redirect may have the gateway's scheme already, if the upstream believes X-Forwarded-Proto.
 */
function toPublic (location: string, publicHost: string, protocol: string, { host, path }: Upstream): string {
  const [absolute = '', authority] = /^(?:https?:)?[/\\]{2}([^/\\?#]*)/i.exec(location) ?? []
  const target = location.slice(absolute.length)
  const rest = target.slice(path.length)
  const isUpstream = authority === undefined ? path !== '' : authority.toLowerCase() === host
  if (!isUpstream || !target.startsWith(path) || !/^([/?#]|$)/.test(rest)) return location
  const below = `/${rest.replace(/^[/\\]+/, '')}` // browsers would read two slashes as the beginning of another host
  return authority === undefined ? below : `${protocol}://${publicHost}${below}`
}
