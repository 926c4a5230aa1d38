import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { listening, says } from '../fixtures/programs.js'
import type { Started } from '../fixtures/programs.js'
import { request } from '../fixtures/server.js'
import { certificate, echo } from '../fixtures/upstream.js'

/** Makes the command believe that its standard input is a terminal. */
const TERMINAL = ['--import', `data:text/javascript,${encodeURIComponent(
  "import tty from 'node:tty'; import { syncBuiltinESMExports } from 'node:module'; tty.isatty = () => true; syncBuiltinESMExports()"
)}`]

/** The certificate that a server shows. */
async function shown (port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

interface Files { readonly cert: string, readonly key: string }

function write (files: Files, { cert, key } = certificate()): void {
  writeFileSync(files.cert, cert)
  writeFileSync(files.key, key)
}

function files (t: Test): Files {
  const folder = t.testdir()
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  write(files)
  return files
}

const lines = ({ said }: Started, level: number): string[] => said.out.split('\n').filter(line => line.includes(`"level":${level}`))

t.test('SIGHUP has certificate and key read again', async t => {
  const { cert, key } = files(t)
  const gateway = await listening(t, ['--upstream', await echo(t), '--cert', cert, '--key', key])
  const before = await shown(gateway.port)
  write({ cert, key }, certificate('other'))
  t.equal(await shown(gateway.port), before)
  gateway.child.kill('SIGHUP')
  await says(gateway, /Certificate and key have been read again/)
  t.not(await shown(gateway.port), before)
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'close'), [0, null])
})

t.test('a broken pair changes nothing, and is one line', async t => {
  const { cert, key } = files(t)
  const gateway = await listening(t, ['--upstream', await echo(t), '--cert', cert, '--key', key])
  const before = await shown(gateway.port)
  const other = certificate('other')
  const breaks: Array<[how: () => void, said: RegExp]> = [
    [() => writeFileSync(key, 'no PEM'), /stay as they were: --cert and --key: this is not a certificate and its key in PEM/],
    [() => writeFileSync(key, other.key), /stay as they were: --cert and --key: .*key values mismatch/],
    [() => rmSync(key), /stay as they were: --key: .* cannot be read: ENOENT/]
  ]
  for (const [how, said] of breaks) {
    how()
    gateway.child.kill('SIGHUP')
    await says(gateway, said)
    t.equal(await shown(gateway.port), before, String(said))
  }
  t.equal(lines(gateway, 50).length, breaks.length, 'one line each')
})

t.test('SIGHUP does nothing without TLS', async t => {
  const gateway = await listening(t, ['--upstream', await echo(t)])
  gateway.child.kill('SIGHUP')
  t.equal((await request(gateway.port, 'GET', '/', [['Host', 'localhost']])).status, 200)
  t.equal(lines(gateway, 50).length, 0)
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'close'), [0, null])
})

t.test('SIGHUP ends it where its standard input is a terminal: the session is gone', async t => {
  const gateway = await listening(t, ['--upstream', await echo(t)], {}, TERMINAL)
  gateway.child.kill('SIGHUP')
  t.same(await once(gateway.child, 'close'), [0, null])
  t.match(gateway.said.out, /SIGHUP: running requests may finish/)
})

t.test('SIGHUP while it starts does not end it: the certificate is read again once it listens', async t => {
  const { cert, key } = files(t)
  // The gateway listens for SIGTERM before it begins to start.
  const script = "process.on('newListener', name => { if (name === 'SIGTERM') process.kill(process.pid, 'SIGHUP') })"
  const early = ['--import', `data:text/javascript,${encodeURIComponent(script)}`]
  const gateway = await listening(t, ['--upstream', await echo(t), '--cert', cert, '--key', key], {}, early)
  await says(gateway, /Certificate and key have been read again/)
  t.match(await shown(gateway.port), /^([0-9A-F]{2}:)+/)
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'close'), [0, null])
})
