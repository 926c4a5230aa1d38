import { readFileSync } from 'node:fs'
import t from 'tap'
import { run } from '../fixtures/programs.js'

const pretend = (version: string): string[] => ['--import', `data:text/javascript,${encodeURIComponent(
  `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`
)}`]

t.test('an old Node is told so in one line, before anything is imported', async t => {
  for (const version of ['20.18.3', '18.20.8', '16.0.0']) {
    t.strictSame(await run(t, ['--version'], {}, pretend(version)), {
      code: 2,
      out: '',
      err: `fastify-mlflow-security: Node.js 20.19 or later is needed, but this is ${version}. Install a newer one: https://nodejs.org\n`
    })
  }
  for (const version of ['20.19.0', '22.0.0', '100.1.0']) t.match(await run(t, ['--version'], {}, pretend(version)), { code: 0, err: '' })
})

t.test('the version is that of package.json, and nothing is imported before the check', async t => {
  const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  t.equal(JSON.parse(read('package.json')).engines.node, '>=20.19')
  t.notMatch(read('lib/cli.ts'), /^import [^(]/m)
})
