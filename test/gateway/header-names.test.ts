import t from 'tap'
import { namedFields } from '../../lib/gateway/header-names.js'

t.test('what a Connection header costs grows with its length, not with its square', t => {
  const cost = (length: number): number => {
    const connection = `${'\u00a0'.repeat(length)}x`
    const begin = process.cpuUsage()
    for (let i = 0; i < 5; i++) t.same([...namedFields(connection) ?? []], ['x'])
    const { user, system } = process.cpuUsage(begin)
    return user + system
  }
  cost(100) // compiles
  t.ok(cost(32_000) < 500_000) // it took some seconds
  for (const connection of ['keep-alive', ' Close ', 'UPGRADE', '', '\t']) t.equal(namedFields(connection), undefined, connection)
  t.end()
})
