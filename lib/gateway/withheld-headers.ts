/** What to do with a header field of a request. */
export type RequestKind = 'passes' | 'dropped' | 'host' | 'decided' | 'forwarded' | 'referer' | 'cookie' | 'length' | 'named'
/** What to do with a header field of an answer. */
export type AnswerKind = 'passes' | 'dropped' | 'decided' | 'vary' | 'csp' | 'location' | 'length' | 'named' | 'coding' | 'trailer'

/** Hop-by-hop fields (RFC 9110 §7.6.1), whether or not a Connection header names them. */
const HOP_BY_HOP = ['keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade', 'http2-settings']

const REQUEST_KINDS = new Map<string, RequestKind>([
  ...HOP_BY_HOP.map(name => [name, 'dropped'] as const),
  // undici cannot send trailers, so `Trailer` is dropped with them. The gateway answers `Expect` itself.
  ['trailer', 'dropped'], ['expect', 'dropped'],
  // To CGI this is `__proto__`, which Node's headers object cannot hold: hooks would not see it.
  ['--proto--', 'dropped'],
  ['x-forwarded-for', 'dropped'], ['x-forwarded-host', 'dropped'], ['x-forwarded-proto', 'dropped'], ['forwarded', 'forwarded'],
  ['connection', 'named'], ['host', 'host'], ['origin', 'decided'], ['referer', 'referer'], ['cookie', 'cookie'], ['content-length', 'length']
])

const ANSWER_KINDS = new Map<string, AnswerKind>([
  ...HOP_BY_HOP.map(name => [name, 'dropped'] as const),
  ['transfer-encoding', 'coding'], ['trailer', 'trailer'], ['connection', 'named'], ['content-length', 'length'], ['vary', 'vary'],
  ['content-security-policy', 'csp'], ['location', 'location'], ['x-frame-options', 'decided'], ['x-content-type-options', 'decided']
])

/** @param name - as it came, in any case */
export const requestName = remember((lower): RequestKind => {
  if (!lower.includes('_')) return REQUEST_KINDS.get(lower) ?? prefixedKind(lower)
  // To CGI and WSGI `X-Forwarded-For` and `X_Forwarded_For` are the same name.
  const twin = lower.replaceAll('_', '-')
  return (REQUEST_KINDS.get(twin) ?? prefixedKind(twin)) === 'passes' ? 'passes' : 'dropped'
})

/** @param name - as it came, in any case */
export const answerName = remember((lower): AnswerKind =>
  ANSWER_KINDS.get(lower) ?? (lower.startsWith('access-control-') ? 'decided' : 'passes'))

function prefixedKind (name: string): RequestKind {
  if (name.startsWith('x-forwarded-')) return 'forwarded'
  if (name.startsWith(':')) return 'dropped' // HTTP/2's pseudo-headers
  return name.startsWith('sec-fetch-') ? 'decided' : 'passes'
}

/** The facts about a name. */
export interface KnownName<Kind> { readonly kind: Kind, readonly lower: string }

/** Real names repeat, invented ones do not. So a small store is enough. */
function remember<Kind> (classify: (lower: string) => Kind): (name: string) => KnownName<Kind> {
  const known = new Map<string, KnownName<Kind>>()
  return name => {
    const knownName = known.get(name)
    if (knownName !== undefined) return knownName
    const lower = name.toLowerCase()
    const found = { kind: classify(lower), lower }
    if (known.size < MOST_NAMES && name.length < LONGEST_NAME) known.set(name, found)
    return found
  }
}

const MOST_NAMES = 500
const LONGEST_NAME = 64

const HARMLESS = new Set(['', 'keep-alive', 'close', 'upgrade'])

/**
 * @param connection - a Connection header
 * @returns the hop-by-hop fields that it names, in lower case; `undefined` if there are none
 */
export function namedFields (connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined) return undefined
  const lower = connection.trim().toLowerCase()
  return HARMLESS.has(lower) ? undefined : new Set(lower.split(',').map(name => name.trim()))
}
