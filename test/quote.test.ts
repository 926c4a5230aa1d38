import t from 'tap'
import { quote } from '../lib/quote.js'

t.test('quotes, escapes and shortens', async t => {
  const cases: Array<[value: string, quoted: string]> = [
    ['', '""'],
    ['localhost:5000', '"localhost:5000"'],
    [' !#[]^~', '" !#[]^~"'],
    ['a"b', '"a\\"b"'],
    ['a\\b', '"a\\\\b"'],
    ['a\tb', '"a\\tb"'],
    ['a\nb', '"a\\nb"'],
    ['a\u007f', '"a\\u007f"'],
    ['\u00e9', '"\\u00e9"'],
    ['a'.repeat(253), `"${'a'.repeat(253)}"`],
    ['a'.repeat(254), `"${'a'.repeat(252)}…"`],
    [`${'a'.repeat(252)}"`, `"${'a'.repeat(252)}…"`]
  ]
  for (const [value, quoted] of cases) t.equal(quote(value), quoted)
})
