import t from 'tap'
import { joinVary, varyByOrigin } from '../../lib/http/vary.js'

t.test('Vary gets Origin where it is missing', async t => {
  const cases = [
    [undefined, 'Origin'], ['', 'Origin'], ['Origin', 'Origin'], ['origin', 'origin'], ['Accept', 'Accept, Origin'],
    [['Accept', 'Cookie'], 'Accept, Cookie, Origin'], ['Accept , ORIGIN', 'Accept , ORIGIN'], ['*', '*'], ['X-Origin', 'X-Origin, Origin'], [5, '5, Origin']
  ] as const
  for (const [vary, expected] of cases) t.equal(varyByOrigin(vary), expected, JSON.stringify(vary))
})

t.test('two Varys are one with the names of both', async t => {
  t.equal(joinVary('Origin', 'Accept, origin'), 'Origin, Accept')
  t.equal(joinVary(undefined, 'Accept'), 'Accept')
  t.equal(joinVary('Origin', undefined), 'Origin')
  t.equal(joinVary('*', 'Accept'), '*')
  t.equal(joinVary('Origin', 'Accept, *'), '*', 'a * among names says more than any of them')
})
