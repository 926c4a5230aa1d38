import type { Authority } from '../grammar/authority.js'
import { GlobMatcher } from './glob-matcher.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import { hasPort } from '../grammar/ports.js'
import type { Ports } from '../grammar/ports.js'
import { RangeMatcher } from './range-matcher.js'

/** The hosts and ports of an allow-list, compiled into look-ups. Ten thousand entries cost as much as ten. */
export class AuthorityMatcher {
  readonly #exact = new Map<string, Ports>()
  readonly #below = new Map<string, Ports>()
  readonly #ranges = { ipv4: new RangeMatcher('ipv4'), ipv6: new RangeMatcher('ipv6') }
  readonly #globs = new GlobMatcher()

  /** @param port - 0 to 65535, `NO_PORT` or `ANY_PORT` */
  add (pattern: HostPattern, port: number): void {
    switch (pattern.kind) {
      case 'name':
      case 'address': return addPort(this.#exact, pattern.host, port)
      case 'below': return addPort(this.#below, pattern.parent, port)
      case 'range': return this.#ranges[pattern.family].add(pattern.network, pattern.prefix, port)
      case 'glob': return this.#globs.add(pattern, port)
    }
  }

  /**
   * @param port - the port to decide on: 0 to 65535, or `NO_PORT` if the scheme has no default
   * @returns whether an entry allows this host on this port
   */
  allows (authority: Authority, port: number): boolean {
    if (hasPort(this.#exact.get(authority.host), port)) return true
    return authority.kind === 'name'
      ? this.#allowsBelow(authority.host, port) || this.#globs.allows(authority.host, port)
      : this.#ranges[authority.kind].allows(authority.host, port)
  }

  /** @returns whether the host has an entry of its own, on any port */
  names (authority: Authority): boolean {
    return this.#exact.has(authority.host)
  }

  #allowsBelow (name: string, port: number): boolean {
    if (this.#below.size === 0) return false
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      if (hasPort(this.#below.get(name.slice(dot + 1)), port)) return true
    }
    return false
  }
}

function addPort (hosts: Map<string, Ports>, host: string, port: number): void {
  const ports = hosts.get(host) ?? new Set()
  hosts.set(host, ports.add(port))
}
