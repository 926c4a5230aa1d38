import { overrideFrameAncestors } from '../http/content-security-policy.js'
import type { FrameAncestorsEditor } from '../http/content-security-policy.js'
import { varyByOrigin } from '../http/vary.js'
import { answerName, namedFields } from './names.js'
import type { Upstream } from './options.js'

/** What the headers of answers become. */
export interface AnswerRules {
  readonly upstream: Upstream
  /** Whether the gateway has security headers of its own; where security is disabled it has none. */
  readonly replaces: boolean
  /** `frameAncestors`, compiled. */
  readonly ancestors: FrameAncestorsEditor | undefined
}

/** What matters of the request. */
interface Asked {
  /** The route's own word: no `frameAncestors`. */
  readonly isFramedByAnyone: boolean
  /** HTTP/1.0 has no chunks, and so none. */
  readonly knowsTrailers: boolean
}

/** What the gateway calls itself in an answer. */
export interface Public { readonly host: string, readonly protocol: string }

/** What the hooks have set, by lower-case name. */
type OwnHeaders = Readonly<Record<string, number | string | readonly string[] | undefined>>

/** The headers of an answer, for the client. */
export interface AnswerHeaders {
  /** Names and values, one after the other; doubles, case and order as they came, our own after them. */
  readonly fields: string[]
  /** The body has a length. */
  readonly hasLength: boolean
  /** A coding that would be lost with its label (`Transfer-Encoding: gzip, chunked`): nobody could read the body. */
  readonly isCoded: boolean
}

/**
 * The headers of the answer: as they came, with the gateway's own in place of the security headers, and its own address in
 * place of the upstream's.
 *
 * @param raw - names and values, one after the other
 * @param own - what the hooks have set; what the upstream sends of the same name stands, cookies beside one another
 */
export function toClient (
  raw: readonly Uint8Array[], own: OwnHeaders, { host, protocol }: Public, rules: AnswerRules, { isFramedByAnyone, knowsTrailers }: Asked
): AnswerHeaders {
  const { replaces, upstream, ancestors } = rules
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
    const [name = '', value = ''] = raw.slice(i, i + 2).map(latin1)
    switch (answerName(name).kind) {
      case 'passes': push(name, value); break
      case 'decided': if (!replaces) push(name, value); break
      case 'vary': if (replaces) vary.push(value); else push(name, value); break
      case 'csp': if (replaces) csp.push(value); else push(name, value); break
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
    if (value === undefined || (replaces && (name === 'vary' || name === CSP))) continue
    if (name !== 'set-cookie' && lower.includes(name)) continue
    for (const one of [value].flat()) fields.push(name, String(one))
  }
  if (replaces) {
    fields.push('vary', varyByOrigin(vary.length > 0 ? vary : own.vary))
    const policy = settle(csp, own[CSP], isFramedByAnyone ? undefined : ancestors)
    if (policy !== '') fields.push(CSP, policy)
  }
  return { fields, hasLength, isCoded }
}

/** The headers of an interim answer (103): hints for the answer itself, which has the last word on everything decided. */
export function toInterim (raw: readonly Uint8Array[]): string[] {
  const fields: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const [name = '', value = ''] = raw.slice(i, i + 2).map(latin1)
    if (answerName(name).kind === 'passes') fields.push(name, value)
  }
  return fields
}

const CSP = 'content-security-policy'

/** Who may frame the pages is the gateway's to say, and browsers prefer frame-ancestors to X-Frame-Options. */
function settle (upstreams: readonly string[], own: OwnHeaders[string], ancestors: FrameAncestorsEditor | undefined): string {
  const policy = upstreams.length === 0 ? [own ?? []].flat().join(', ') : upstreams.join(', ')
  const rest = upstreams.length === 0 ? policy : overrideFrameAncestors(policy, 'NONE') ?? policy
  return ancestors === undefined ? rest : ancestors.addTo(rest)
}

/** What Connection names was meant for this hop (RFC 9110 §7.6.1). The length is the body's own, and stays. */
function removeNamed (fields: string[], lower: string[], vary: string[], csp: string[], named: readonly string[]): void {
  if (named.includes('vary')) vary.length = 0
  if (named.includes(CSP)) csp.length = 0
  for (let i = lower.length - 1; i >= 0; i--) {
    const { [i]: name = '' } = lower
    if (name === 'content-length' || !named.includes(name)) continue
    fields.splice(2 * i, 2)
    lower.splice(i, 1)
  }
}

function latin1 (bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/**
 * A redirect to the upstream's own address leads to the gateway; one to anywhere else is left alone. Its scheme may be
 * the gateway's already, where the upstream believes X-Forwarded-Proto.
 */
function toPublic (location: string, publicHost: string, protocol: string, { host, path }: Upstream): string {
  const [absolute = '', authority] = /^(?:https?:)?[/\\]{2}([^/\\?#]*)/i.exec(location) ?? []
  const target = location.slice(absolute.length)
  const rest = target.slice(path.length)
  const isUpstream = authority === undefined ? path !== '' : authority.toLowerCase() === host
  if (!isUpstream || !target.startsWith(path) || !/^([/?#]|$)/.test(rest)) return location
  const below = `/${rest.replace(/^[/\\]+/, '')}` // of two slashes browsers would make another host
  return authority === undefined ? below : `${protocol}://${publicHost}${below}`
}
