import t from 'tap'
import { quote } from '../../lib/grammar/quote.js'

t.test('a quoted value is printable ASCII, and short', async t => {
  const cases: Array<[value: string, quoted: string]> = [
    ['', '""'],
    ['localhost:5000', '"localhost:5000"'],
    [' !#[]^~', '" !#[]^~"'],
    ['a"b', '"a\\"b"'],
    ['a\\b', '"a\\\\b"'],
    ['a\tb', '"a\\tb"'],
    ['a\nb', '"a\\nb"'],
    ['a"b\\c\n\0\u007fäß☃', '"a\\"b\\\\c\\n\\u0000\\u007f\\u00e4\\u00df\\u2603"'],
    ['a\u007f', '"a\\u007f"'],
    ['\u00e9', '"\\u00e9"'],
    ['a'.repeat(253), `"${'a'.repeat(253)}"`],
    ['a'.repeat(254), `"${'a'.repeat(252)}…"`],
    [`${'a'.repeat(252)}"`, `"${'a'.repeat(252)}…"`]
  ]
  for (const [value, quoted] of cases) t.equal(quote(value), quoted)
  t.equal(quote('\0'.repeat(100)).length, 255)
})
