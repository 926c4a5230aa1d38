import t from 'tap'
import { EntryProblem, attempt } from '../../lib/grammar/entry-problem.js'
import { codedErrors, invalidOption } from '../../lib/settings/errors.js'
import { parseEntryOf } from '../../lib/settings/problem.js'

t.test('an error that is none of the entry is not taken for one', async t => {
  const error = new TypeError('a bug')
  const fail = () => { throw error }
  for (const run of [() => codedErrors(fail), () => parseEntryOf('allowedHosts', 'a', fail), () => attempt(fail)]) t.throws(run, error)
})

t.test('what is wrong with an entry becomes a coded error where settings are compiled', async t => {
  const fail = () => parseEntryOf('reportOnly', 'a', () => { throw new EntryProblem('is wrong', 'b') })
  t.throws(() => codedErrors(fail), {
    code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message: 'reportOnly (--report-only): "a" is wrong. Allowed: true or false. Did you mean "b"?'
  })
  t.equal(attempt(fail), undefined)
})

t.test('an error shows the wrong value in printable ASCII, and short, and the reason by itself', async t => {
  const cases: Array<[value: unknown, shown: string]> = [
    ['a', '"a"'], ['ä', '"\\u00e4"'], ['a'.repeat(300), `"${'a'.repeat(252)}…"`], [['a'.repeat(300)], `["${'a'.repeat(253)}`]
  ]
  for (const [value, shown] of cases) {
    const error = invalidOption('reportOnly', value, 'is wrong', 'b')
    t.match(error, { message: `reportOnly (--report-only): ${shown} is wrong. Allowed: true or false. Did you mean "b"?` }, shown)
  }
})
