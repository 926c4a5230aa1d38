import t from 'tap'
import { memoize } from '../lib/memo.js'

t.test('a result worth keeping is computed once, a thousand of them at most are kept', async t => {
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
  t.ok(again('evil'), 'not worth keeping')
  for (let i = 1; i < 1000; i++) upper(`${i}`)
  for (let i = 0; i < 2000; i++) upper(`evil ${i}`)
  for (let i = 0; i < 1000; i++) t.notOk(again(`${i}`), `${i} is kept, however many others came`)
  upper('one more')
  t.notOk(again('one more'))
  t.ok(again('0'), 'past the limit it starts afresh')
})
