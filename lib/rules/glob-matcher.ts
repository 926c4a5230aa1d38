import { hasPort } from '../grammar/ports.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import type { Ports } from '../grammar/ports.js'

type Glob = Extract<HostPattern, { kind: 'glob' }>

interface Entry { readonly middle: readonly string[], readonly ports: Ports }

/** The keys are the length of a piece at one end of the name, and then the piece itself. */
type Ends<Value> = Map<number, Map<string, Value>>

/**
 * Names with inner wildcards, compiled. The part after the last wildcard is looked up in a hash, then the part before the
 * first. So ten thousand patterns cost one look-up for each length of these parts. Only patterns with the same two ends are
 * tried one after another.
 */
export class GlobMatcher {
  readonly #endings: Ends<Ends<Entry[]>> = new Map()

  add ({ first, middle, last }: Glob, port: number): void {
    const beginnings = valueAt<Ends<Entry[]>>(this.#endings, last, () => new Map())
    valueAt<Entry[]>(beginnings, first, () => []).push({ middle, ports: new Set([port]) })
  }

  allows (name: string, port: number): boolean {
    for (const [length, endings] of this.#endings) {
      const end = name.length - length // negative if the name is shorter; then no key matches
      const beginnings = endings.get(name.slice(end))
      if (beginnings !== undefined && allowsBetween(beginnings, name, end, port)) return true
    }
    return false
  }
}

function valueAt<Value> (ends: Ends<Value>, piece: string, create: () => Value): Value {
  const pieces = ends.get(piece.length) ?? new Map<string, Value>()
  const value = pieces.get(piece) ?? create()
  ends.set(piece.length, pieces.set(piece, value))
  return value
}

function allowsBetween (beginnings: Ends<Entry[]>, name: string, end: number, port: number): boolean {
  for (const [start, pieces] of beginnings) {
    const entries = pieces.get(name.slice(0, start))
    if (entries?.some(({ middle, ports }) => hasPort(ports, port) && hasInOrder(name, middle, start, end)) === true) return true
  }
  return false
}

/**
 * Whether the pieces occur in the name in this order, with anything between them. The first place where a piece fits is
 * as good as any later one, so nothing is tried twice: `*a*a*a*a*b` never backtracks.
 */
function hasInOrder (name: string, pieces: readonly string[], start: number, end: number): boolean {
  let from = start
  for (const piece of pieces) {
    const at = name.indexOf(piece, from)
    if (at === -1) return false
    from = at + piece.length
  }
  return from <= end
}
