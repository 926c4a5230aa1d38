import t from 'tap'
import { BodyNotAllowedError, HostNotAllowedError, LoopError, invalidOption } from '../../lib/settings/errors.js'
import { EntryProblem } from '../../lib/grammar/host-pattern.js'

t.test('an error that is none of the entry is not taken for one', async t => {
  const error = new TypeError('a bug')
  t.equal(invalidOption('allowedHosts', 'a', error), error)
})

t.test('an error shows the wrong value in printable ASCII, and short, and the reason by itself', async t => {
  const cases: Array<[value: unknown, shown: string]> = [
    ['a', '"a"'], ['ä', '"\\u00e4"'], ['a'.repeat(300), `"${'a'.repeat(252)}…"`], [['a'.repeat(300)], `["${'a'.repeat(253)}`]
  ]
  for (const [value, shown] of cases) {
    const error = invalidOption('reportOnly', value, new EntryProblem('is wrong', 'b'))
    t.match(error, { message: `reportOnly (--report-only): ${shown} is wrong. Allowed: true or false. Did you mean "b"?` }, shown)
  }
})

t.test('an error that a request can cause captures no stack, which would make a flood of them dear', async t => {
  for (const error of [new HostNotAllowedError('refused'), new LoopError(), new BodyNotAllowedError()]) t.notMatch(error.stack, /\n +at /, error.code)
})
