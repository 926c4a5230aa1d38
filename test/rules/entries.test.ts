import assert from 'node:assert/strict'
import { domainToASCII } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { attempt } from '../../lib/grammar/entry-problem.js'
import { createPolicy } from '../../lib/policy/policy.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import type { Settings } from '../../types/index.js'

const label = fc.oneof(
  fc.constantFrom('a', 'b-1', 'a_b', '1a', '0x', '0xg', 'localhost', 'com', '*', 'a*', '*b', 'a*b*c', 'ü', '-', '127', '255', '256', '01', 'a'.repeat(63), 'A'),
  fc.string({ unit: fc.constantFrom(...'ab01-_*.'), minLength: 1, maxLength: 6 })
)
const host = fc.oneof(
  { weight: 6, arbitrary: fc.array(label, { minLength: 1, maxLength: 5 }).map(labels => labels.join('.')) },
  fc.ipV4(), fc.ipV6(), fc.ipV6().map(text => `[${text}]`),
  fc.tuple(fc.ipV4(), fc.nat(33)).map(([text, prefix]) => `${text}/${prefix}`),
  fc.tuple(fc.ipV6(), fc.nat(129)).map(([text, prefix]) => `${text}/${prefix}`),
  fc.constantFrom('10.*', '192.168.*', '1.2.3.*', '1.*.*.*', '*', '.', '', '::ffff:1.2.3.4', '::ffff:10.0.0.0/104', '@addresses', 'all', 'any', 'true', 'auto', 'null')
)
const port = fc.oneof({ weight: 3, arbitrary: fc.constant('') }, fc.constantFrom(':*', ':0', ':80', ':443', ':5000', ':65535', ':65536', ':', ':x'))
const scheme = fc.constantFrom(
  'http', 'https', 'HTTPS', 'app', 'chrome-extension', 'vscode-webview', 'file', 'ws', 'tauri', 'a'.repeat(64), 'a'.repeat(65), '1a', '*'
)
const entry = fc.oneof(
  fc.tuple(host, port).map(parts => parts.join('')),
  fc.tuple(host, fc.constantFrom(';', '|', ' ', '/', '@'), host).map(parts => parts.join(''))
)
const originEntry = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(scheme, entry).map(([scheme, rest]) => `${scheme}://${rest}`) },
  { weight: 1, arbitrary: fc.constantFrom('localhost', 'localhost:*', 'null', 'file://', 'file://*', 'app://.', 'app://*', 'app://*:*', 'file://host', 'file:///x') },
  entry
)

/** A host that the entry is meant to allow, read from its text. A wildcard is a letter that no hexadecimal number has. */
function sampleHost (text: string): string {
  if (text === '@addresses') return '8.8.8.8'
  const [, base = ''] = /^(.*)\/\d+$/.exec(text) ?? []
  if (base !== '') return base.includes(':') && !base.startsWith('[') ? `[${base}]` : base
  if (text.split(':').length > 2 && !text.startsWith('[')) return `[${text}]`
  if (/^[\d.*]*\d[\d.*]*$/.test(text.replace(/:.*/, ''))) return withPort(text, host => [...host.split('.').filter(octet => octet !== '*'), '1', '1', '1'].slice(0, 4).join('.'))
  return withPort(text, host => domainToASCII(host.replaceAll('*', 'g')) || host.replaceAll('*', 'g'))
}

function withPort (text: string, change: (host: string) => string): string {
  const [, host = '', digits = ''] = /^(.*?)(:(?:\d+|\*))?$/.exec(text) ?? []
  return (host.startsWith('[') ? host : change(host)) + (digits === ':*' ? ':3000' : digits)
}

function sampleOrigins (text: string): string[] {
  if (/^localhost(:\*)?$/i.test(text)) return [`http://${text.replace('*', '3000')}`, `https://x.${text.replace('*', '3000')}`]
  if (/^file:\/\/\*?$/i.test(text)) return ['file://']
  if (text === 'null' || /^[a-z+-]+:\/\/\.$/i.test(text)) return [text]
  const [, scheme = '', rest = ''] = /^([^:]*):\/\/(.*)$/.exec(text) ?? []
  const own = /^(?!https?$)/i.test(scheme) && rest === '*' ? [`${scheme}://.`] : []
  return [...own, `${scheme}://${sampleHost(rest)}`]
}

const settings = resolveSettings({}, {})
const policyOf = (lists: Partial<Settings>) => attempt(() => createPolicy({ ...settings, ...lists }))

t.test('every accepted entry of allowedHosts has a request that it allows', async t => {
  let accepted = 0
  fc.assert(fc.property(entry, text => {
    if (text === '*' || text.trim() === '' || text.includes(',')) return
    const policy = policyOf({ allowedHosts: [text.trim()] })
    if (policy === undefined) return
    accepted++
    const host = sampleHost(text.trim())
    assert.equal(policy.inspect({ method: 'GET', url: '/', headers: { host } }).allowed, true, `${JSON.stringify(text)}: ${host}`)
  }), { numRuns: 20_000 })
  t.ok(accepted > 5_000, `${accepted} accepted`)
})

t.test('every accepted entry of corsAllowedOrigins has a request that it allows', async t => {
  let accepted = 0
  fc.assert(fc.property(originEntry, text => {
    if (text === '*' || text.trim() === '' || text.includes(',')) return
    const policy = policyOf({ corsAllowedOrigins: [text.trim()] })
    if (policy === undefined) return
    accepted++
    for (const origin of sampleOrigins(text.trim())) {
      assert.equal(policy.corsAccess(origin), 'listed', `${JSON.stringify(text)}: ${origin}`)
    }
  }), { numRuns: 20_000 })
  t.ok(accepted > 2_000, `${accepted} accepted`)
})
