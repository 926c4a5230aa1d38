/** Hop-by-hop fields (RFC 9110 §7.6.1), whether or not a Connection header names them. */
export const HOP_BY_HOP = ['keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade', 'http2-settings']

/** The facts about a name. */
export interface KnownName<Kind> { readonly kind: Kind, readonly lower: string }

/** Real names repeat, invented ones do not. So a small store is enough. */
export function remember<Kind> (classify: (lower: string) => Kind): (name: string) => KnownName<Kind> {
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
