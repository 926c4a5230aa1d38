import { hostname } from 'node:os'
import t from 'tap'
import { ownAddresses } from '../../lib/cli/reach.js'
import { refuseLoop } from '../../lib/cli/upstream-loop.js'

t.test('an upstream that is the gateway itself is told from one elsewhere', async t => {
  const own = ownAddresses().map(({ address, family }) => family === 'IPv6' ? `[${address}]` : address)
  for (const name of ['localhost', 'LOCALHOST', 'localhost.', 'x.localhost', '127.8.0.1', '[::1]', '0.0.0.0', '[::]', 'gw.company.com', hostname(), ...own]) {
    for (const [upstream, port] of [[`http://${name}:5000`, 5000], [`http://${name}`, 80], [`https://${name}`, 443]] as const) {
      t.throws(() => refuseLoop(upstream, { host: 'GW.company.com', port }), { code: 'FST_MLFLOW_SECURITY_USAGE' }, upstream)
      t.doesNotThrow(() => refuseLoop(upstream, { host: 'GW.company.com', port: port + 1 }), upstream)
    }
  }
  for (const name of ['mlflow.internal', 'gw.company.com.internal', 'localhost.company.com', '198.51.100.7', '[2001:db8::7]']) {
    t.doesNotThrow(() => refuseLoop(`http://${name}:5000`, { host: 'gw.company.com', port: 5000 }), name)
  }
})
