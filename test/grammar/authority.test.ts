import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { formatAuthority, isLoopback, NO_PORT, parseAddress, parseAuthority, parseName } from '../../lib/grammar/authority.js'

const label63 = 'a'.repeat(63)

const name253 = `${label63}.${label63}.${label63}.${'a'.repeat(61)}`

t.test('well-formed authorities, in canonical form', async t => {
  const cases: Array<[text: string, host: string, port: number, kind: string]> = [
    ['localhost', 'localhost', NO_PORT, 'name'],
    ['LocalHost:5000', 'localhost', 5000, 'name'],
    ['mlflow.company.com.', 'mlflow.company.com', NO_PORT, 'name'],
    ['mlflow.company.com.:0', 'mlflow.company.com', 0, 'name'],
    ['a_b-c.d:65535', 'a_b-c.d', 65535, 'name'],
    ['a:00080', 'a', 80, 'name'],
    [name253, name253, NO_PORT, 'name'],
    [`${name253}.:65535`, name253, 65535, 'name'],
    ['1.example', '1.example', NO_PORT, 'name'],
    ['0xyz', '0xyz', NO_PORT, 'name'],
    ['127.0.0.1:80', '127.0.0.1', 80, 'ipv4'],
    ['[::1]', '::1', NO_PORT, 'ipv6'],
    ['[FD00:0:0::0001]:5000', 'fd00::1', 5000, 'ipv6'],
    ['[::ffff:127.0.0.1]', '127.0.0.1', NO_PORT, 'ipv4'],
    ['[::ffff:7f00:1]:80', '127.0.0.1', 80, 'ipv4'],
    ['[::127.0.0.1]', '::127.0.0.1', NO_PORT, 'ipv6']
  ]
  for (const [text, host, port, kind] of cases) t.same(parseAuthority(text), { host, port, kind }, text)
})

t.test('malformed authorities', async t => {
  const cases = [
    '', '.', '..', ':', ':80', 'a:', 'a:b', 'a:+80', 'a:-1', 'a:65536', 'a:123456', 'a:80:80', 'a..b', '.a', 'a..', 'a b', 'a,b', 'a\tb',
    'u@a', 'a/b', 'a#b', 'a?b', 'a\\b', 'a%00', 'a%2eb', 'ä', 'a\0', '*', 'a*', '(a)', '127.1', '2130706433', '0x7f.1', '0x7f000001', '0x',
    '0X7F', '10.0.2.555', '127.0.0.01', '0177.0.0.1', '127.0.0.1.', '1.2.3.4.5', 'a.1', 'a.0x1', '[::1', '::1', '[::1]x', '[::1]:', '[::1]:x',
    '[]', '[localhost]', '[127.0.0.1]', '[::1%lo0]', '[::1%25lo0]', '[v1.x]', '[::1].', `${label63}a`, `a.${name253}`, 'a'.repeat(20_000)
  ]
  for (const text of cases) t.equal(parseAuthority(text), undefined, JSON.stringify(text.slice(0, 80)))
})

t.test('an authority is written back in one way', async t => {
  for (const [text, written] of [['A.b.', 'a.b'], ['a:80', 'a:80'], ['[0::1]:80', '[::1]:80'], ['[::ffff:1.2.3.4]', '1.2.3.4']] as const) {
    const authority = parseAuthority(text)
    t.equal(authority && formatAuthority(authority), written, text)
  }
})

t.test('names and addresses', async t => {
  t.equal(parseName('a.b.'), 'a.b')
  t.equal(parseName('a.b..'), undefined)
  t.equal(parseAddress('fe80::1%eth0'), undefined)
  t.equal(parseAddress('a'), undefined)
  t.same(parseAddress('::ffff:0:102:304'), { kind: 'ipv6', host: '::ffff:0:102:304' }, 'no IPv4-mapped address')
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1']) t.ok(isLoopback(address), address)
  for (const address of ['0.0.0.0', '::', '192.168.1.1', 'fd00::127', '']) t.notOk(isLoopback(address), address)
})

t.test('whatever is well-formed, a browser reads as the same host, and normalising twice is normalising once', async t => {
  const labels = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/).filter(label => !/^xn--/i.test(label)) // punycode: the browser refuses more
  const names = fc.array(labels, { minLength: 1, maxLength: 4 }).map(parts => parts.join('.'))
  const hosts = fc.oneof(names, fc.ipV4(), fc.ipV4Extended(), fc.ipV6().map(address => `[${address}]`), fc.string(), names.map(name => `${name}.`))
  const authorities = fc.tuple(hosts, fc.option(fc.nat(70_000), { nil: undefined }))
    .map(([host, port]) => port === undefined ? host : `${host}:${port}`)
  t.doesNotThrow(() => fc.assert(fc.property(authorities, text => {
    const authority = parseAuthority(text)
    if (authority === undefined) return
    const written = formatAuthority(authority)
    assert.deepEqual(parseAuthority(written), authority)
    // The URL parser keeps a trailing dot, and writes an IPv4-mapped address as IPv6.
    const seen = parseAuthority(new URL(`http://${text}/`).host)
    assert.equal(seen?.host, authority.host)
  }), { numRuns: 20_000 }))
})
