import t from 'tap'
import { findMeant } from '../../lib/settings/spelling.js'

t.test('the name that was meant', t => {
  const names = ['host', 'port', 'allowed-hosts', 'cors-allowed-origins', 'cert']
  const cases: Array<[written: string, meant: string | undefined]> = [
    ['allowed-hosts', 'allowed-hosts'], ['alowed-hosts', 'allowed-hosts'], ['allowed-hostss', 'allowed-hosts'], ['allowed_hosts', 'allowed-hosts'],
    ['alowed-host', 'allowed-hosts'], ['allowd_hosts', 'allowed-hosts'], ['xallowed-hostsx', 'allowed-hosts'], ['alowd-host', undefined],
    ['hosst', 'host'], ['hots', undefined], ['prot', undefined], ['pot', 'port'], ['ort', 'port'], ['po', undefined], ['', undefined], ['certificate', undefined]
  ]
  for (const [written, meant] of cases) t.equal(findMeant(written, names), meant, written)
  t.end()
})
