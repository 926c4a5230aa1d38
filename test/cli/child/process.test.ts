import t from 'tap'
import { startChild } from '../../../lib/cli/child/process.js'
import { parseChild } from '../../../lib/cli/child/command.js'
import { until } from '../../fixtures/until.js'

const POSIX = process.platform === 'win32' ? 'needs process groups' : false

t.test('output in whole lines, the last one too, and the exit code', { skip: POSIX }, async t => {
  for (const [script, code, expected] of [
    ['printf "a\\nb"; exit 3', 3, 'sh | a\nsh | b\n'],
    ['echo a', 0, 'sh | a\n'],
    ['kill -TERM $$', 143, '']
  ] as const) {
    let said = ''
    const output = { write (lines: string) { said += lines }, flush () {}, async finish () {}, dropped: 0 }
    const child = await startChild(parseChild(['sh', '-c', `${script} # {port}`], {}), 1, output)
    t.equal(await child.ended, code, script)
    await child.end(0)
    await until(() => said.length >= expected.length)
    t.equal(said, expected, script)
  }
})

t.test('what cannot be started is one clear error', { skip: POSIX }, async t => {
  const output = { write () {}, flush () {}, async finish () {}, dropped: 0 }
  const folder = t.testdir({ text: 'no program' })
  for (const [program, message] of [
    ['no-such-program', /^-- "no-such-program" is not installed, or not in PATH\.$/],
    [`${folder}/text`, /^-- ".*text" cannot be started: .*EACCES\.$/]
  ] as const) await t.rejects(startChild(parseChild([program, '{port}'], {}), 1, output), { code: 'FST_MLFLOW_SECURITY_USAGE', message })
})

t.test('a line that does not end is passed on in pieces; kill ends all of it', { skip: POSIX }, async t => {
  let said = ''
  const output = { write (lines: string) { said += lines }, flush () {}, async finish () {}, dropped: 0 }
  const child = await startChild(parseChild(['sh', '-c', 'head -c 200000 /dev/zero | tr "\\0" x; exec sleep 60 # {port}'], {}), 1, output)
  await until(() => said.includes('\n'))
  t.match(said, /^sh \| x{65536,}\n/)
  child.kill()
  t.equal(await child.ended, 137)
})
