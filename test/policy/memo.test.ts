import t from 'tap'
import { memoize } from '../../lib/policy/memo.js'

t.test('results are computed once; a thousand good and a hundred hostile ones at most are kept, apart', async t => {
  const computed: string[] = []
  const upper = memoize(text => {
    computed.push(text)
    return text.toUpperCase()
  }, result => !result.startsWith('EVIL'))
  const again = (text: string): boolean => {
    computed.length = 0
    t.equal(upper(text), text.toUpperCase())
    return computed.length > 0
  }

  t.ok(again('0'))
  t.notOk(again('0'), 'kept')
  t.ok(again('evil'))
  t.notOk(again('evil'), 'kept as well: the same ones come over and over')
  for (let i = 1; i < 1000; i++) upper(`${i}`)
  t.notOk(again('evil'), 'the good ones do not push it out')
  for (let i = 1; i < 100; i++) upper(`evil ${i}`)
  t.notOk(again('evil'), 'a hundred')
  upper('evil 100')
  t.notOk(again('evil'), 'the last one that was asked for stays')
  t.notOk(again('evil 100'))
  t.ok(again('evil'), 'past a hundred it starts afresh')
  for (let i = 0; i < 2000; i++) upper(`evil ${i}`)
  for (let i = 0; i < 1000; i++) t.notOk(again(`${i}`), `${i} is kept, however many others came`)
  upper('one more')
  t.notOk(again('one more'))
  t.ok(again('0'), 'past a thousand it starts afresh')

  for (const [text, kept] of [['evil'.padEnd(330), true], ['evil'.padEnd(331), false], [' '.repeat(330), true], [' '.repeat(331), false]] as const) {
    t.ok(again(text))
    t.equal(again(text), !kept, `${text.length} characters`)
  }
})
