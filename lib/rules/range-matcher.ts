import { hasPort } from '../grammar/ports.js'
import type { Ports } from '../grammar/ports.js'

const BITS = { ipv4: 32, ipv6: 128 } as const

/**
 * Address ranges of one family, compiled. For each prefix length in use, the networks of that length are in a hash. So ten
 * thousand ranges cost one look-up for each length, 33 or 129 at most. (Node's block list tries one range after another, and
 * treats an IPv4 address as its IPv4-mapped IPv6 one: `::/16` would contain all of them.)
 */
export class RangeMatcher {
  readonly #family: 'ipv4' | 'ipv6'
  readonly #networks = new Map<number, Map<bigint, Ports>>()

  constructor (family: 'ipv4' | 'ipv6') {
    this.#family = family
  }

  /** @param prefix - 0 to 32 or 128 */
  add (network: string, prefix: number, port: number): void {
    const ignored = this.#ignored(prefix)
    const key = addressBits(network) >> ignored
    const networks = this.#networks.get(prefix) ?? new Map<bigint, Ports>()
    this.#networks.set(prefix, networks.set(key, (networks.get(key) ?? new Set()).add(port)))
  }

  /** @param address - in canonical form */
  allows (address: string, port: number): boolean {
    if (this.#networks.size === 0) return false
    const bits = addressBits(address)
    for (const [prefix, networks] of this.#networks) {
      if (hasPort(networks.get(bits >> this.#ignored(prefix)), port)) return true
    }
    return false
  }

  #ignored (prefix: number): bigint {
    return BigInt(BITS[this.#family] - prefix)
  }
}

/**
 * @param address - an IPv4 address, or an IPv6 address as the platform prints it (RFC 5952)
 * @returns its 32 or 128 bits
 */
export function addressBits (address: string): bigint {
  if (!address.includes(':')) return BigInt(octets(address))
  const [head = '', tail] = address.split('::')
  const before = groups(head)
  const after = groups(tail ?? '')
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0000')
  return BigInt(`0x${[...before, ...zeros, ...after].join('')}`)
}

function octets (address: string): number {
  return address.split('.').reduce((bits, octet) => bits * 256 + Number(octet), 0)
}

/** Groups of four hexadecimal digits; the last may be written as an IPv4 address (RFC 4291 §2.2). */
function groups (text: string): string[] {
  if (text === '') return []
  return text.split(':').flatMap(group => {
    if (!group.includes('.')) return group.padStart(4, '0')
    const hex = octets(group).toString(16).padStart(8, '0')
    return [hex.slice(0, 4), hex.slice(4)]
  })
}
