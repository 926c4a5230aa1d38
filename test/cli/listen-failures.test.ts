import t from 'tap'
import { explainListen } from '../../lib/cli/listen-failures.js'

t.test('why an address cannot be listened on, in terms of the flags', async t => {
  const flags = { host: '--host', port: '--port' }
  for (const [code, host, message] of [
    ['EADDRINUSE', '127.0.0.1', '--port: 127.0.0.1:80 is taken by another program. Choose another port, or end that program.'],
    ['EADDRINUSE', '::1', '--port: [::1]:80 is taken by another program. Choose another port, or end that program.'],
    ['EADDRNOTAVAIL', '10.9.9.9', '--host: 10.9.9.9 is not an address of this machine. 127.0.0.1 is for this machine only, 0.0.0.0 for every address of it.'],
    ['EAFNOSUPPORT', '::1', '--host: ::1 is not an address of this machine. 127.0.0.1 is for this machine only, 0.0.0.0 for every address of it.'],
    ['EACCES', '0.0.0.0', '--port: this user may not listen on port 80. Choose one from 1024 up.'],
    ['ENOTFOUND', 'gw', '--host: the name "gw" does not resolve to an address. Give the address itself: 127.0.0.1, 0.0.0.0.'],
    ['EAI_AGAIN', 'gw', '--host: the name "gw" does not resolve to an address. Give the address itself: 127.0.0.1, 0.0.0.0.']
  ] as const) {
    t.match(explainListen(Object.assign(new Error(), { code }), { host, port: 80 }, flags), { code: 'FST_MLFLOW_SECURITY_CANNOT_LISTEN', message })
  }
  for (const error of [new Error('broken'), Object.assign(new Error(), { code: 'EMFILE' }), 'text', null]) {
    t.equal(explainListen(error, { host: '::', port: 80 }, flags), error, 'what nobody knows about stays as it is')
  }
})
