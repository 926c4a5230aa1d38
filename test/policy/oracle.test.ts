import assert from 'node:assert/strict'
import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { createPolicy } from '../../lib/policy/policy.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import type { Verdict } from '../../types/index.js'
import { opinion, readIPv4, readIPv6 } from '../fixtures/oracle.js'
import type { HostEntry, OracleRequest, OracleSettings, OriginEntry } from '../fixtures/oracle.js'
import { listen, parse, send } from '../fixtures/server.js'

// `npm run fuzz` asks for ten million pairs of settings and request, CI for one, `npm test` for fewer.
const PAIRS = Number(process.env.FUZZ_PAIRS ?? 50_000)
const REQUESTS_EACH = 200

const label = fc.constantFrom('a', 'b', 'mlflow', 'x-1', 'a_b', '1a', 'localhost', 'company', 'com', '0xyz', 'aa', 'ab')
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map(labels => labels.join('.'))
const octet = fc.constantFrom('0', '1', '10', '127', '168', '192', '255')
const ipv4 = fc.tuple(octet, octet, octet, octet).map(octets => octets.join('.'))
const ipv6 = fc.oneof(fc.constantFrom('::', '::1', 'fd00::1', 'FD00:0:0::1', '::ffff:127.0.0.1', '::ffff:7f00:1', 'fe80::1'), fc.ipV6())
const port = fc.constantFrom(80, 443, 5000, 8080)
const anyCase = (text: fc.Arbitrary<string>) => fc.tuple(text, fc.boolean()).map(([text, upper]) => upper ? text.toUpperCase() : text)

const escape = (text: string) => text.replace(/[.-]/g, '\\$&')
const isTail = (tail: string) => new RegExp(`^[a-z0-9_.-]+\\.${escape(tail)}$`)

/** What an entry says of the host. */
const hostMeaning: fc.Arbitrary<Pick<HostEntry, 'text' | 'hosts'>> = fc.oneof(
  anyCase(name).map(text => ({ text, hosts: new RegExp(`^${escape(text.toLowerCase())}$`) })),
  name.map(tail => ({ text: `*.${tail}`, hosts: isTail(tail) })),
  fc.array(label, { minLength: 2, maxLength: 4 }).map(pieces => ({
    text: `${pieces.join('*')}.com`, hosts: new RegExp(`^${pieces.map(escape).join('[a-z0-9_.-]*')}\\.com$`)
  })),
  ipv4.map(text => ({ text, hosts: { bits: 32 as const, from: readIPv4(text), to: readIPv4(text) } })),
  fc.tuple(fc.array(octet, { minLength: 1, maxLength: 3 }), fc.boolean()).map(([leading, eachOctet]) => ({
    text: [...leading, ...eachOctet ? Array<string>(4 - leading.length).fill('*') : '*'].join('.'),
    hosts: span(32, readIPv4([...leading, '0', '0', '0'].slice(0, 4).join('.')), 8 * leading.length)
  })),
  fc.constant({ text: 'Bücher.com.', hosts: /^xn--bcher-kva\.com$/ })
)

const range: fc.Arbitrary<HostEntry> = fc.oneof(
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([text, prefix]) => ({ text: `${text}/${prefix}`, hosts: span(32, readIPv4(text), prefix), port: 'any' as const })),
  fc.tuple(fc.constantFrom('fd00::1', '::1', 'fe80::1:2'), fc.integer({ min: 0, max: 128 }))
    .map(([text, prefix]) => ({ text: `${text}/${prefix}`, hosts: span(128, readIPv6(text).address, prefix), port: 'any' as const })),
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 }))
    .map(([text, prefix]) => ({ text: `::ffff:${text}/${96 + prefix}`, hosts: span(32, readIPv4(text), prefix), port: 'any' as const }))
)

const bracketed: fc.Arbitrary<Pick<HostEntry, 'text' | 'hosts'>> = ipv6.map(text => {
  const { bits, address } = readIPv6(new URL(`http://[${text}]`).hostname.slice(1, -1))
  return { text: `[${text}]`, hosts: { bits, from: address, to: address } }
})

function span (bits: 32 | 128, address: bigint, prefix: number): HostEntry['hosts'] {
  const size = 1n << BigInt(bits - prefix)
  const from = address / size * size
  return { bits, from, to: from + size - 1n }
}

const entryPort = fc.option(fc.oneof(port, fc.constant('any' as const)), { nil: undefined })
const portText = (port: number | 'any' | undefined) => port === undefined ? '' : port === 'any' ? ':*' : `:${port}`

const hostEntry: fc.Arbitrary<HostEntry> = fc.oneof(
  {
    weight: 35,
    arbitrary: fc.tuple(fc.oneof({ weight: 6, arbitrary: hostMeaning }, bracketed), entryPort)
      .map(([{ text, hosts }, port]) => ({ text: text + portText(port), hosts, port: port ?? 'any' }))
  },
  { weight: 5, arbitrary: range },
  { weight: 1, arbitrary: fc.constant({ text: '*', hosts: 'all' as const, port: 'any' as const }) }
)
const hostEntries: fc.Arbitrary<HostEntry[]> = fc.oneof(
  { weight: 30, arbitrary: hostEntry.map(entry => [entry]) },
  { weight: 1, arbitrary: fc.constant([span(32, 0n, 0), span(128, 0n, 0)].map(hosts => ({ text: '@addresses', hosts, port: 'any' as const }))) }
)

const none = /^\b$/
const LOCAL_HOSTS = [/^(.+\.)?localhost$/, span(32, readIPv4('127.0.0.0'), 8), span(128, 1n, 128)]
const LOCAL: OriginEntry[] = LOCAL_HOSTS.map(hosts => ({ text: 'localhost:*', hosts, port: 'any', schemes: ['http', 'https'] }))
const LOCAL_ON_DEFAULT_PORTS: OriginEntry[] = LOCAL_HOSTS.flatMap(hosts => [
  { text: 'localhost', hosts, port: 80, schemes: ['http'] }, { text: 'localhost', hosts, port: 443, schemes: ['https'] }
])

const originEntry: fc.Arbitrary<readonly OriginEntry[]> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.tuple(fc.constantFrom('http', 'https', 'app'), fc.oneof({ weight: 6, arbitrary: hostMeaning }, bracketed), entryPort).map(([scheme, { text, hosts }, port]) => [{
      text: `${scheme}://${text}${portText(port)}`, hosts, schemes: [scheme], port: port ?? (scheme === 'http' ? 80 : scheme === 'https' ? 443 : -1)
    }])
  },
  { weight: 2, arbitrary: fc.constantFrom(LOCAL, LOCAL_ON_DEFAULT_PORTS) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(['null', 'null'], ['file://', 'file://'], ['file://*', 'file://'], ['app://.', 'app://.'])
      .map(([text = '', origin = '']) => [{ text, hosts: none, port: 'any' as const, schemes: [], exactly: [origin] }])
  },
  { weight: 1, arbitrary: fc.constant([{ text: 'app://*', hosts: /./, port: -1, schemes: ['app'], exactly: ['app://.'] }]) },
  { weight: 1, arbitrary: fc.constant([{ text: '*', hosts: none, port: 'any' as const, schemes: [] }]) }
)

const settings: fc.Arbitrary<OracleSettings> = fc.record({
  hosts: fc.array(hostEntries, { minLength: 1, maxLength: 5 }).map(entries => entries.flat()),
  origins: fc.array(originEntry, { minLength: 1, maxLength: 4 }).map(entries => entries.flat())
})

const authority = fc.tuple(
  fc.oneof({ weight: 6, arbitrary: anyCase(name) }, { weight: 2, arbitrary: ipv4 }, { weight: 2, arbitrary: ipv6.map(text => `[${text}]`) }, fc.ipV4Extended(),
    name.map(text => `${text}.`), fc.constantFrom('127.1', '2130706433', '0x7f.1', '127.0.0.01', '[localhost]', '::1', 'a..b', '.a', '', '1.2.3.4.')),
  fc.oneof({ weight: 4, arbitrary: fc.constant('') }, { weight: 4, arbitrary: port.map(port => `:${port}`) }, fc.constantFrom(':', ':0', ':00080', ':65536', ':123456', ':x', ':80:80'))
).map(([host, port]) => host + port)

/** A byte put in, taken out or changed: userinfo, separators, escapes, control characters, raw UTF-8. */
interface Mutation { readonly at: number, readonly remove: number, readonly insert: string }
const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(20),
  remove: fc.nat(1),
  insert: fc.oneof(
    fc.constantFrom('@', ',', ' ', '\t', '/', '\\', '#', '?', '%', '%2e', '*', '\0', '[', ']', ':', '.', 'ö', 'a', '1', ''),
    fc.string({ unit: 'binary', maxLength: 2 })
  )
})
const mutate = (text: string, { at, remove, insert }: Mutation) => text.slice(0, at) + insert + text.slice(at + remove)
const mutated = fc.tuple(authority, mutation).map(([text, how]) => mutate(text, how))
const hostText = fc.oneof({ weight: 8, arbitrary: authority }, { weight: 2, arbitrary: mutated }, fc.string({ unit: 'binary' }))
const originText = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(fc.constantFrom('http', 'https', 'HTTPS', 'app', 'ws', '1x', ''), fc.constantFrom('://', '://', '://', '://', ':', '//'), hostText).map(parts => parts.join('')) },
  { weight: 3, arbitrary: fc.constantFrom('null', 'null', 'file://', 'app://.') },
  fc.tuple(authority, authority).map(([a, b]) => `http://${a}, http://${b}`),
  fc.string({ unit: 'binary' })
)

const request: fc.Arbitrary<OracleRequest> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'POST', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'get'),
  host: fc.option(hostText, { nil: undefined, freq: 50 }),
  origin: fc.option(originText, { nil: undefined, freq: 5 }),
  site: fc.option(fc.constantFrom('none', 'same-origin', 'same-origin', 'same-site', 'cross-site', 'Same-Origin', ''), { nil: undefined, freq: 2 }),
  forwarded: fc.option(hostText, { nil: undefined, freq: 1 }),
  proto: fc.option(fc.constantFrom('https', 'wss', 'http', 'ws'), { nil: undefined, freq: 2 }),
  cookie: fc.boolean(),
  preflight: fc.boolean(),
  upgrade: fc.boolean()
})

interface Aim {
  /** Which part is made of what the settings allow; or all of the request as it was drawn. */
  readonly at: 'nothing' | 'host' | 'own page' | 'listed origin'
  readonly pick: number
  readonly scheme: string
  /** What then becomes of the one that was aimed at. */
  readonly miss: Mutation | undefined
}
const aims: fc.Arbitrary<Aim> = fc.record({
  at: fc.constantFrom('nothing', 'host', 'own page', 'listed origin'),
  pick: fc.nat(),
  scheme: fc.constantFrom('http', 'https'),
  miss: fc.option(mutation, { nil: undefined, freq: 2 })
})

/** Most requests are made of what the settings allow, or of what is a byte beside it. */
function aim (settings: OracleSettings, request: OracleRequest, { at, pick, scheme, miss }: Aim): OracleRequest {
  if (at === 'nothing') return request
  const hosts = settings.hosts.map(({ text }) => text.replace(/^\*\.|\/\d+$|:\*$/g, '').replaceAll('*', '7'))
  const origins = settings.origins.map(({ text }) => text.replace(/:\*$/, ':3000').replace('*.', 'x.').replaceAll('*', '7'))
  const host = hosts[pick % hosts.length] ?? ''
  const origin = at === 'own page' ? `${scheme}://${host}` : at === 'host' ? request.origin : origins[pick % origins.length]
  const aimed = { ...request, host, origin, forwarded: undefined }
  if (miss === undefined) return aimed
  return at === 'host' || origin === undefined ? { ...aimed, host: mutate(host, miss) } : { ...aimed, origin: mutate(origin, miss) }
}

const pair = settings.chain(settings => fc.tuple(fc.constant(settings), fc.array(
  fc.tuple(request, aims).map(drawn => aim(settings, ...drawn)),
  { minLength: REQUESTS_EACH, maxLength: REQUESTS_EACH }
)))

const policyOf = ({ hosts, origins }: OracleSettings) => createPolicy(resolveSettings({
  allowedHosts: hosts.map(({ text }) => text), corsAllowedOrigins: [...new Set(origins.map(({ text }) => text))]
}, {}))

const addressed = ({ forwarded, host = '', proto }: OracleRequest) =>
  forwarded === undefined && proto === undefined ? undefined : { host: forwarded ?? host, protocol: proto ?? 'http' }

const head = ({ method, host, origin, site, preflight, upgrade, cookie }: OracleRequest) => ({
  method,
  url: '/',
  headers: {
    ...(host === undefined ? {} : { host }),
    ...(origin === undefined ? {} : { origin }),
    ...(site === undefined ? {} : { 'sec-fetch-site': site }),
    ...(preflight ? { 'access-control-request-method': 'PUT' } : {}),
    ...(upgrade ? { upgrade: 'websocket' } : {}),
    ...(cookie ? { cookie: 'session=1' } : {})
  }
})

/** Says what failed and by which seed, not all of the two hundred requests that came along. */
function holds<Values> (t: Test, property: fc.IProperty<Values>, numRuns: number): void {
  const { failed, seed, counterexamplePath, errorInstance } = fc.check(property, { numRuns, endOnFailure: true })
  t.notOk(failed, failed ? `seed ${seed}, path ${counterexamplePath}: ${errorInstance instanceof Error ? errorInstance.message : ''}` : 'no counterexample')
}

const inFull = ({ hosts, origins }: OracleSettings, request: OracleRequest) =>
  JSON.stringify({ hosts: hosts.map(({ text }) => text), origins: origins.map(({ text }) => text), request })

const inWords = (verdict: Verdict) => verdict.allowed ? 'allowed' : `${verdict.check} ${verdict.statusCode}`

t.test(`inspect agrees with an independent reference on ${PAIRS} pairs of settings and request`, { timeout: 7_200_000 }, async t => {
  const seen = new Map<string, number>()
  holds(t, fc.property(pair, ([settings, requests]) => {
    const policy = policyOf(settings)
    for (const request of requests) {
      const verdict = inWords(policy.inspect(head(request), addressed(request)))
      const reference = opinion(settings, request)
      assert.equal(verdict, reference, inFull(settings, request))
      seen.set(reference, (seen.get(reference) ?? 0) + 1)
    }
  }), Math.ceil(PAIRS / REQUESTS_EACH))
  // A generator that only makes requests of one kind would prove nothing.
  for (const kind of ['allowed', 'host 400', 'host 403', 'origin 403']) t.ok((seen.get(kind) ?? 0) > PAIRS / 50, `${kind}: ${seen.get(kind)}`)
})

/** What Node's parser hands on as it came. */
const isFieldValue = (text: string | undefined) =>
  text === undefined || /^([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/.test(text)

const isSendable = ({ method, host, origin, forwarded }: OracleRequest) => method !== 'get' && host !== undefined &&
  [host, origin, forwarded].every(isFieldValue) && forwarded !== '' && forwarded?.includes(',') !== true

async function overTheWire (
  port: number, { method, host, origin, site, forwarded, proto, cookie, preflight, upgrade: upgrades }: OracleRequest
): Promise<string> {
  const headers = Object.entries({
    Host: host,
    Origin: origin,
    'Sec-Fetch-Site': site,
    'X-Forwarded-Host': forwarded,
    'X-Forwarded-Proto': proto,
    'Access-Control-Request-Method': preflight ? 'PUT' : undefined,
    Cookie: cookie ? 'session=1' : undefined
  }).flatMap(([name, value]) => value === undefined ? [] : [`${name}: ${value}\r\n`])
  const connection = upgrades ? 'Upgrade: websocket\r\nConnection: Upgrade, close' : 'Connection: close'
  const { status, body } = parse(await send(port, `${method} / HTTP/1.1\r\n${headers.join('')}${connection}\r\nContent-Length: 0\r\n\r\n`))
  if (status === 200 || status === 204 || status === 404) return 'allowed'
  if (method !== 'HEAD') assert.match(body, status === 400 ? /HOST_MALFORMED/ : /HOST_NOT_ALLOWED|CROSS_ORIGIN/)
  return `${body.includes('CROSS_ORIGIN') ? 'origin' : 'host'} ${status}`
}

t.test('a server behind a trusted proxy answers over the wire as the reference says, and never with 5xx', { timeout: 600_000 }, async t => {
  let sent = 0
  const limit = Math.min(PAIRS / 10, 20_000)
  const { failed, seed, errorInstance } = await fc.check(fc.asyncProperty(pair, async ([settings, requests]) => {
    const app = Fastify({ trustProxy: true })
    await app.register(mlflowSecurity, {
      allowedHosts: settings.hosts.map(({ text }) => text), corsAllowedOrigins: settings.origins.map(({ text }) => text)
    })
    app.all('/', async () => 'ok')
    const port = await listen(app)
    for (const request of requests.filter(isSendable)) {
      const expected = opinion(settings, request)
      const answer = await overTheWire(port, request)
      // HEAD has no body to tell which check it was.
      assert.equal(request.method === 'HEAD' ? answer.slice(-3) : answer, request.method === 'HEAD' ? expected.slice(-3) : expected, inFull(settings, request))
      sent++
    }
    await app.close()
  }), { numRuns: Math.ceil(limit / REQUESTS_EACH), endOnFailure: true })
  t.notOk(failed, failed ? `seed ${seed}: ${errorInstance instanceof Error ? errorInstance.message : ''}` : 'no counterexample')
  t.ok(sent > limit / 2, `${sent} requests`)
})

t.test('adding an entry never refuses what was allowed', async t => {
  holds(t, fc.property(pair, hostEntry, originEntry, ([settings, requests], host, origin) => {
    // "*" among the hosts switches the validation off by which own pages are recognised.
    if (host.hosts === 'all') return
    const before = policyOf(settings)
    const after = policyOf({ hosts: [...settings.hosts, host], origins: [...settings.origins, ...origin] })
    for (const request of requests) {
      if (!before.inspect(head(request), addressed(request)).allowed) continue
      assert.equal(after.inspect(head(request), addressed(request)).allowed, true, JSON.stringify(request))
    }
  }), Math.ceil(PAIRS / REQUESTS_EACH / 10))
})
