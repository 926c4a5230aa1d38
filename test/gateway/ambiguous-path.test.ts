import t from 'tap'
import { request, upgrade } from '../fixtures/server.js'
import { gateway, recorder, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('paths reach the upstream as they came, below its own path', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const { port } = await gateway(t, { upstream: target })
  const below = await gateway(t, { upstream: `${target}/base/` })
  const cases: Array<[path: string, expected: string]> = [
    ['/', '/'], ['/?', '/?'], ['/?q', '/?q'], ['/a%2Fb', '/a%2Fb'], ['/a//b', '/a//b'], ['/%C3%A4?x=%zz', '/%C3%A4?x=%zz'], ['/a;b=c', '/a;b=c'],
    [`/${'a'.repeat(300)}`, `/${'a'.repeat(300)}`], ['http://localhost/abs?q=1', '/abs?q=1'], ['http://localhost?q=1', '/?q=1'], ['http://localhost', '/'],
    ['/.a/b.', '/.a/b.'], ['/a?/./..', '/a?/./..'], ['/..hidden/v1../...', '/..hidden/v1../...'], ['/%2F..%2f', '/%2F..%2f'], ['/a%23b', '/a%23b'],
    ['//api/2.0', '//api/2.0'], ['///evil.com/x', '///evil.com/x'], ['http://localhost//api', '//api'], ['/%5c..%5c', '/%5c..%5c'], ['/..;/a', '/..;/a'],
    ['/a?next=http://b.com/c', '/a?next=http://b.com/c'], ['/http://b.com/c', '/http://b.com/c'], ['/health', '/health'], ['/a/', '/a/']
  ]
  for (const [path, expected] of cases) {
    seen.length = 0
    await request(port, 'GET', path, [HOST])
    await request(below.port, 'GET', path, [HOST])
    t.same(seen.map(({ url }) => url), [expected, `/base${expected}`], path)
  }
  for (const path of ['/a/../../etc', '/%2e%2e/x', '/a/..\\..\\x', '/./secret', '/%2e/secret', '/.\\secret', '/a\\b', '/a/.', 'http://localhost/./x', '/a#b', '/a?b#c', '/a/..', '/%2e./x', '*']) {
    seen.length = 0
    t.match(await request(below.port, 'GET', path, [HOST]), { status: 400, body: 'FST_MLFLOW_SECURITY_AMBIGUOUS_PATH' }, path)
    t.equal(await upgrade(below.port, path, [HOST]), 400, `an upgrade to ${path}`)
    t.same(seen, [], 'nothing reaches the upstream')
  }
})
