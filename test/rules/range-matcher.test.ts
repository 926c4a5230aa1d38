import { BlockList } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { parseAddress } from '../../lib/grammar/authority.js'
import { GlobMatcher } from '../../lib/rules/glob-matcher.js'
import { ANY_PORT } from '../../lib/grammar/ports.js'
import { RangeMatcher, addressBits } from '../../lib/rules/range-matcher.js'

t.test('the bits of an address, however the platform prints it', async t => {
  const cases: Array<[address: string, bits: bigint]> = [
    ['0.0.0.0', 0n], ['0.0.0.1', 1n], ['10.0.2.255', 0x0a0002ffn], ['255.255.255.255', 0xffffffffn],
    ['::', 0n], ['::1', 1n], ['1::', 1n << 112n], ['fd00::1:2', 0xfd000000000000000000000000010002n],
    ['1:2:3:4:5:6:7:8', 0x00010002000300040005000600070008n], ['::1.2.3.4', 0x01020304n], ['64:ff9b::1.2.3.4', 0x0064ff9b000000000000000001020304n]
  ]
  for (const [address, bits] of cases) t.equal(addressBits(address), bits, address)
})

t.test("ranges hold what Node's own block list holds", async t => {
  const hex = fc.constantFrom('0', '1', 'fd00', 'ffff', 'abcd')
  const v6 = fc.array(hex, { minLength: 8, maxLength: 8 }).map(groups => groups.join(':'))
  const v4 = fc.tuple(...Array.from({ length: 4 }, () => fc.constantFrom(0, 1, 10, 127, 128, 255))).map(octets => octets.join('.'))
  const families = [['ipv4', fc.oneof(v4, fc.ipV4()), 32], ['ipv6', fc.oneof(v6, fc.ipV6()), 128]] as const
  for (const [family, address, width] of families) {
    const ranges = fc.array(fc.tuple(address, fc.nat(width)), { maxLength: 5 })
    t.doesNotThrow(() => fc.assert(fc.property(ranges, address, (ranges, text) => {
      const matcher = new RangeMatcher(family)
      const list = new BlockList()
      for (const [network, prefix] of ranges) {
        const parsed = parseAddress(network)
        if (parsed?.kind !== family) continue // an IPv4-mapped one
        matcher.add(parsed.host, prefix, ANY_PORT)
        list.addSubnet(parsed.host, prefix, family)
      }
      const parsed = parseAddress(text)
      return parsed?.kind !== family || matcher.allows(parsed.host, 80) === list.check(parsed.host, family)
    }), { numRuns: 5000 }), family)
  }
})

t.test('ten thousand ranges and wildcards: the right ones match, on their ports', async t => {
  const ranges = new RangeMatcher('ipv4')
  const globs = new GlobMatcher()
  for (let i = 0; i < 10_000; i++) {
    ranges.add(`10.${i >> 8}.${i & 255}.0`, 24, i === 300 ? 5000 : ANY_PORT)
    globs.add({ kind: 'glob', first: `app-${i}-`, middle: [], last: '.company.com' }, i === 300 ? 5000 : ANY_PORT)
  }
  t.ok(ranges.allows('10.39.15.200', 80))
  t.notOk(ranges.allows('10.39.16.0', 80), 'the first that is not there')
  t.notOk(ranges.allows('10.1.44.1', 80))
  t.ok(ranges.allows('10.1.44.1', 5000))
  t.ok(globs.allows('app-9999-x.company.com', 80))
  t.notOk(globs.allows('app-10000-x.company.com', 80))
  t.notOk(globs.allows('app-300-x.company.com', 80))
  t.ok(globs.allows('app-300-x.company.com', 5000))
})

t.test('patterns with the same ends: any of them will do, on its port', async t => {
  const globs = new GlobMatcher()
  for (const [middle, port] of [['.a.', ANY_PORT], ['.b.', 80], ['.b.', 81]] as const) globs.add({ kind: 'glob', first: 'x', middle: [middle], last: 'y' }, port)
  const cases: Array<[name: string, port: number, allowed: boolean]> = [
    ['x.a.y', 1, true], ['x.b.y', 80, true], ['x.b.y', 81, true], ['x.b.y', 82, false], ['x.c.y', 80, false], ['xy', 80, false], ['y', 80, false], ['x', 80, false]
  ]
  for (const [name, port, allowed] of cases) t.equal(globs.allows(name, port), allowed, `${name}:${port}`)
})
