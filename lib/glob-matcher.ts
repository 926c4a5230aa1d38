import { hasPort } from './ports.js'
import type { HostPattern } from './host-pattern.js'
import type { Ports } from './ports.js'

type Glob = Extract<HostPattern, { kind: 'glob' }>

interface Entry { readonly middle: readonly string[], readonly ports: Ports }

/** How long the pieces before the first and after the last wildcard are. */
interface Shape { readonly first: number, readonly last: number, readonly entries: Map<string, Entry[]> }

/**
 * Names with inner wildcards, compiled: those whose ends are equally long stand in one hash by these ends, so that ten
 * thousand of them cost a look-up for each pair of lengths. Only patterns with the same ends are tried one after another.
 */
export class GlobMatcher {
  readonly #shapes: Shape[] = []

  add ({ first, middle, last }: Glob, port: number): void {
    const { entries } = this.#shapeOf(first.length, last.length)
    const key = keyOf(first, last)
    const same = entries.get(key) ?? []
    same.push({ middle, ports: new Set([port]) })
    entries.set(key, same)
  }

  allows (name: string, port: number): boolean {
    return this.#shapes.some(({ first, last, entries }) => {
      if (name.length < first + last) return false
      const end = name.length - last
      return entries.get(keyOf(name.slice(0, first), name.slice(end)))
        ?.some(({ middle, ports }) => hasPort(ports, port) && hasInOrder(name, middle, first, end)) === true
    })
  }

  #shapeOf (first: number, last: number): Shape {
    const known = this.#shapes.find(shape => shape.first === first && shape.last === last)
    if (known !== undefined) return known
    const shape = { first, last, entries: new Map<string, Entry[]>() }
    this.#shapes.push(shape)
    return shape
  }
}

/** A wildcard stands in no name, so no two pairs of ends have the same key. */
function keyOf (first: string, last: string): string {
  return `${first}*${last}`
}

/**
 * Whether the pieces stand in the name in this order, with anything between them. The first place where a piece fits is
 * as good as any later one, so nothing is ever tried twice: `*a*a*a*a*b` cannot be made to backtrack.
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
