import t from 'tap'
import { createReader } from '../../../lib/cli/authorize/question.js'
import type { Dialect, Question } from '../../../lib/cli/authorize/question.js'

type Headers = ReadonlyArray<readonly [string, string]>

/** Reads a sub-request as Node's server would hand it over. */
function read (dialect: Dialect, headers: Headers, method = 'GET', url = '/'): Question {
  const joined: Record<string, string> = {}
  for (const [name, value] of headers) {
    const key = name.toLowerCase()
    joined[key] = joined[key] === undefined ? value : `${joined[key]}, ${value}`
  }
  return createReader(dialect)({ method, url, headers: joined, rawHeaders: headers.flat() })
}

const NGINX = [['X-Original-Method', 'POST'], ['X-Original-Host', 'app.example'], ['X-Original-URI', '/a?b']] as const
const FORWARDED = [['X-Forwarded-Method', 'POST'], ['X-Forwarded-Host', 'app.example'], ['X-Forwarded-Uri', '/a?b']] as const
const ORIGIN = ['Origin', 'https://a.example'] as const

t.test('each dialect says it in its own headers', async t => {
  t.match(read('nginx', [['Host', 'authorize'], ...NGINX, ORIGIN]), {
    head: { method: 'POST', url: '/a?b', headers: { host: 'app.example', origin: 'https://a.example' } }, problem: undefined
  })
  t.match(read('traefik', [['Host', 'authorize'], ...FORWARDED, ORIGIN]), {
    head: { method: 'POST', url: '/a?b', headers: { host: 'app.example', 'x-forwarded-host': undefined, origin: 'https://a.example' } }
  })
  t.match(read('caddy', [['Host', 'own.example'], ...FORWARDED, ORIGIN]), {
    head: { method: 'POST', url: '/a?b', headers: { host: 'own.example', 'x-forwarded-host': 'app.example' } }
  }, 'both hosts of Caddy count')
  t.match(read('envoy', [['Host', 'app.example'], ORIGIN], 'PUT', '/x'), { head: { method: 'PUT', url: '/x', headers: { host: 'app.example' } } })
  t.match(createReader('envoy')({ headers: {}, rawHeaders: [] }), { head: { method: '', url: '' } })
})

t.test('the other dialects\' headers change nothing', async t => {
  const lies = [['X-Forwarded-Method', 'GET'], ['X-Forwarded-Host', 'lie'], ['X-Forwarded-Uri', '/health'], ['X-Forwarded-Proto', 'https']] as const
  const others = [['X-Original-Method', 'GET'], ['X-Original-Host', 'lie'], ['X-Original-URI', '/health']] as const
  t.match(read('nginx', [...lies, ...NGINX]), { head: { method: 'POST', url: '/a?b', headers: { host: 'app.example', 'x-forwarded-host': undefined, 'x-forwarded-proto': undefined } } })
  for (const dialect of ['traefik', 'caddy'] as const) t.match(read(dialect, [...others, ...FORWARDED]), { head: { method: 'POST', url: '/a?b' } })
  t.match(read('envoy', [['Host', 'own.example'], ...lies, ...others]), { head: { method: 'GET', url: '/', headers: { host: 'own.example', 'x-forwarded-host': undefined } } })
})

t.test('a header of the dialect that is missing, empty or doubled is a problem', async t => {
  for (const [dialect, headers] of [['nginx', NGINX], ['caddy', FORWARDED], ['traefik', FORWARDED]] as const) {
    for (const [i, [name, value]] of headers.entries()) {
      const others = headers.filter((_, j) => j !== i)
      const isHost = name.endsWith('Host')
      const missing = isHost ? `There is no ${name}: the client sent no Host, or the engine is not configured to pass it on.` : `There is no ${name}: the engine is not configured to send it.`
      t.same(read(dialect, others), { problem: missing })
      t.same(read(dialect, [...others, [name, '']]), { problem: missing })
      t.match(read(dialect, [...headers, [name, value]]), { head: undefined, problem: /^One of these headers came twice: / })
      t.match(read(dialect, [[name.toUpperCase(), value], ...headers]), { problem: /^One of these headers came twice: / })
    }
  }
})

t.test('a thousand headers are too many', async t => {
  for (const [dialect, own] of [['nginx', NGINX], ['caddy', FORWARDED], ['traefik', FORWARDED], ['envoy', []]] as const) {
    const fill = (count: number): Headers => [...own, ...Array.from({ length: count - own.length }, (_, i) => [`a${i}`, '1'] as const)]
    t.equal(read(dialect, fill(999)).problem, undefined, `${dialect}: 999`)
    t.equal(read(dialect, fill(1000)).problem, 'The request has 1000 headers or more.', `${dialect}: 1000`)
  }
})

t.test('a key makes an upgrade of a request', async t => {
  t.match(read('nginx', [...NGINX, ['Sec-WebSocket-Key', 'x']]), { head: { headers: { upgrade: 'websocket' } } })
  t.match(read('nginx', [...NGINX, ['Sec-WebSocket-Key', 'x'], ['Upgrade', 'other']]), { head: { headers: { upgrade: 'other' } } })
  t.equal(read('nginx', NGINX).head?.headers.upgrade, undefined)
})
