import { BlockList } from 'node:net'
import type { Authority } from './authority.js'
import { ANY_PORT } from './host-pattern.js'
import type { HostPattern } from './host-pattern.js'

type Glob = Extract<HostPattern, { kind: 'glob' }>
type Range = Extract<HostPattern, { kind: 'range' }>

type Ports = Set<number>

/**
 * The hosts and ports of an allow-list, compiled: names, addresses and `*.parent` are looked up by hash, so that
 * ten thousand entries cost what ten cost; ranges stand in Node's own block list; only other wildcards are tried
 * one after another.
 */
export class AuthorityMatcher {
  readonly #exact = new Map<string, Ports>()
  readonly #below = new Map<string, Ports>()
  // A block list takes an IPv4 address for its IPv4-mapped IPv6 one: `::/16` would hold all of them.
  readonly #ranges = { ipv4: new Map<number, BlockList>(), ipv6: new Map<number, BlockList>() }
  readonly #globs: Array<{ glob: Glob, port: number }> = []

  /** @param port - 0 to 65535, `NO_PORT` or `ANY_PORT` */
  add (pattern: HostPattern, port: number): void {
    switch (pattern.kind) {
      case 'name':
      case 'address': return addPort(this.#exact, pattern.host, port)
      case 'below': return addPort(this.#below, pattern.parent, port)
      case 'range': return this.#addRange(pattern, port)
      case 'glob': this.#globs.push({ glob: pattern, port })
    }
  }

  /**
   * @param port - the port to decide on: 0 to 65535, or `NO_PORT` where the scheme has no default
   * @returns whether an entry allows this host on this port
   */
  allows (authority: Authority, port: number): boolean {
    if (hasPort(this.#exact.get(authority.host), port)) return true
    return authority.kind === 'name'
      ? this.#allowsBelow(authority.host, port) || this.#allowsGlob(authority.host, port)
      : this.#allowsRange(authority.host, authority.kind, port)
  }

  /** @returns whether the host has an entry of its own, on whichever port */
  names (authority: Authority): boolean {
    return this.#exact.has(authority.host)
  }

  #addRange ({ network, prefix, family }: Range, port: number): void {
    const ranges = this.#ranges[family].get(port) ?? new BlockList()
    ranges.addSubnet(network, prefix, family)
    this.#ranges[family].set(port, ranges)
  }

  #allowsBelow (name: string, port: number): boolean {
    if (this.#below.size === 0) return false
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      if (hasPort(this.#below.get(name.slice(dot + 1)), port)) return true
    }
    return false
  }

  #allowsGlob (name: string, port: number): boolean {
    return this.#globs.some(entry => (entry.port === ANY_PORT || entry.port === port) && matches(name, entry.glob))
  }

  #allowsRange (address: string, family: 'ipv4' | 'ipv6', port: number): boolean {
    const ranges = this.#ranges[family]
    return ranges.get(ANY_PORT)?.check(address, family) === true || ranges.get(port)?.check(address, family) === true
  }
}

function addPort (hosts: Map<string, Ports>, host: string, port: number): void {
  const ports = hosts.get(host) ?? new Set()
  hosts.set(host, ports.add(port))
}

function hasPort (ports: Ports | undefined, port: number): boolean {
  return ports !== undefined && (ports.has(ANY_PORT) || ports.has(port))
}

/**
 * Whether the name is the pieces of the pattern, in order, with anything between them. The first place where a piece
 * fits is as good as any later one, so nothing is ever tried twice: `*a*a*a*a*b` cannot be made to backtrack.
 */
function matches (name: string, { first, middle, last }: Glob): boolean {
  if (!name.startsWith(first) || !name.endsWith(last)) return false
  let from = first.length
  for (const piece of middle) {
    const at = name.indexOf(piece, from)
    if (at === -1) return false
    from = at + piece.length
  }
  return from <= name.length - last.length
}
