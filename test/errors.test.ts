import t from 'tap'
import { invalidOption } from '../lib/errors.js'
import { quote } from '../lib/quote.js'

t.test('an error that is none of the entry is not taken for one', async t => {
  const error = new TypeError('a bug')
  t.equal(invalidOption('allowedHosts', 'a', error), error)
})

t.test('a quoted value is printable ASCII, and short', async t => {
  t.equal(quote('a"b\\c\n\0\u007fäß☃'), '"a\\"b\\\\c\\n\\u0000\\u007f\\u00e4\\u00df\\u2603"')
  t.equal(quote('a'.repeat(253)).length, 255)
  t.equal(quote('a'.repeat(254)), `"${'a'.repeat(252)}…"`)
  t.equal(quote('\0'.repeat(100)).length, 255)
})
