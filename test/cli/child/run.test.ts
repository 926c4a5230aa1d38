import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { listening, run, says, start } from '../../fixtures/programs.js'
import type { Started } from '../../fixtures/programs.js'
import { request } from '../../fixtures/server.js'
import { until } from '../../fixtures/until.js'

const HOST = ['Host', 'localhost'] as const
const POSIX = process.platform === 'win32' ? 'needs process groups' : false
const FAKE_MLFLOW = fileURLToPath(new URL('../../fixtures/mlflow.mjs', import.meta.url))

/** A folder with a command called mlflow. */
function withMlflow (t: Test, fake = ''): { env: Record<string, string>, file: string } {
  const folder = t.testdir()
  const command = join(folder, 'mlflow')
  // Without what tap makes Node load to measure coverage.
  writeFileSync(command, `#!/bin/sh\nunset NODE_OPTIONS\nexec '${process.execPath}' '${FAKE_MLFLOW}' "$@"\n`, { mode: 0o755 })
  const file = join(folder, 'file')
  return { env: { PATH: `${folder}${delimiter}${process.env.PATH}`, FAKE: fake, FAKE_FILE: file }, file }
}

async function untilServing (started: Started & { readonly port: number }): Promise<void> {
  await says(started, /mlflow answers/)
}

t.test('it starts the server behind it, on loopback and without the settings that the gateway checks', { skip: POSIX }, async t => {
  const { env } = withMlflow(t, 'long')
  const gateway = await listening(t, ['--allowed-hosts', 'localhost', '--', 'mlflow', 'server', '--host', '0.0.0.0', '--workers', '1'], {
    ...env, MLFLOW_SERVER_ALLOWED_HOSTS: 'mlflow.lan', MLFLOW_SERVER_X_FRAME_OPTIONS: 'DENY', MLFLOW_TRACKING_URI: 'http://elsewhere.invalid'
  })
  const early = await request(gateway.port, 'GET', '/x', [HOST])
  t.match(early, { status: 503, headers: { 'retry-after': '2' }, body: /FST_MLFLOW_SECURITY_STARTING/ })
  t.equal((await request(gateway.port, 'GET', '/health', [HOST])).status, 503)
  t.equal((await request(gateway.port, 'GET', '/x', [['Host', 'evil.com']])).status, 403, 'what is refused is refused')
  await untilServing(gateway)
  const answer = await request(gateway.port, 'GET', '/x', [HOST])
  t.match(answer, { status: 200, headers: { 'x-frame-options': 'DENY' } })
  const { host, environment } = JSON.parse(answer.body)
  t.match(host, /^127\.0\.0\.1:\d+$/)
  t.notMatch(environment.join(), /MLFLOW_SERVER_/)
  t.match(gateway.said.err, /^mlflow \| starting server --host 0\.0\.0\.0 --workers 1 --host 127\.0\.0\.1 --port \d+\n/m, 'its output, with a mark')
  t.match(gateway.said.err, /^mlflow \| half a line\n/m, 'in whole lines')
  t.match(gateway.said.err, /^mlflow \| x{65536,}\n/m, 'but for endless ones')
  t.match(gateway.said.out, /"level":40[^\n]*--host of mlflow has no effect/)
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'close'), [0, null])
  for (const line of gateway.said.out.trim().split('\n')) t.doesNotThrow(() => JSON.parse(line), 'the log is JSON still')
})

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0) && !/^\d+ \(.*\) Z/.test(existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '')
  } catch {
    return false
  }
}

t.test('on SIGTERM requests finish first, then the server and all that it has started end', { skip: POSIX }, async t => {
  const { env, file } = withMlflow(t, 'helper')
  const gateway = await listening(t, ['--', 'mlflow', 'server'], env)
  await untilServing(gateway)
  const helper = Number(readFileSync(file, 'utf8'))
  t.ok(isAlive(helper))
  const slow = request(gateway.port, 'GET', '/slow', [HOST])
  await until(() => gateway.said.err.includes('asked for /slow'))
  gateway.child.kill('SIGINT')
  t.equal((await slow).status, 200)
  t.same(await once(gateway.child, 'close'), [0, null])
  t.notOk(isAlive(helper))
})

t.test('a server that does not end is killed', { skip: POSIX }, async t => {
  const { env, file } = withMlflow(t, 'stubborn helper')
  const gateway = await listening(t, ['--shutdown-timeout', '6', '--', 'mlflow', 'server'], env)
  await untilServing(gateway)
  const begun = Date.now()
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'close'), [0, null])
  const taken = Date.now() - begun
  t.ok(taken >= 5000, `after ${taken} ms`)
  t.match(gateway.said.err, 'not yet')
  t.notOk(isAlive(Number(readFileSync(file, 'utf8'))))
})

t.test('who presses Ctrl-C twice does not wait for it', { skip: POSIX }, async t => {
  const { env, file } = withMlflow(t, 'stubborn helper')
  const gateway = await listening(t, ['--', 'mlflow', 'server'], env)
  await untilServing(gateway)
  gateway.child.kill('SIGINT')
  await says(gateway, /SIGINT: running requests/)
  gateway.child.kill('SIGINT')
  t.same(await once(gateway.child, 'close'), [130, null])
  const helper = Number(readFileSync(file, 'utf8'))
  await until(() => !isAlive(helper))
})

t.test('the end of the server ends the gateway, with its code', { skip: POSIX }, async t => {
  for (const [path, code] of [['/end', 3], ['/kill', 137]] as const) {
    const { env, file } = withMlflow(t, 'helper')
    const gateway = await listening(t, ['--', 'mlflow', 'server'], env)
    await untilServing(gateway)
    await request(gateway.port, 'GET', path, [HOST]).catch(() => {})
    t.same(await once(gateway.child, 'close'), [code, null], path)
    t.match(gateway.said.out, new RegExp(`"level":50[^\\n]*mlflow has ended with code ${code}, so the gateway ends too`))
    t.notOk(isAlive(Number(readFileSync(file, 'utf8'))), 'nothing is left behind')
  }
})

t.test('a port that is taken in between is tried anew', { skip: POSIX }, async t => {
  const { env, file } = withMlflow(t, 'late')
  const gateway = await listening(t, ['--', 'mlflow', 'server'], env)
  await untilServing(gateway)
  const taken = readFileSync(file, 'utf8')
  t.match(gateway.said.out, new RegExp(`"level":40[^\\n]*Port ${taken} was taken by another program before mlflow had it`))
  const { host } = JSON.parse((await request(gateway.port, 'GET', '/', [HOST])).body)
  t.not(host, `127.0.0.1:${taken}`)
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'close'), [0, null])
})

t.test('what cannot be started is one line', { skip: POSIX }, async t => {
  const { env } = withMlflow(t)
  const folder = t.testdir({ text: 'no program' })
  for (const [command, message] of [
    [['no-such-program', '{port}'], /^fastify-mlflow-security: -- "no-such-program" is not installed, or not in PATH\.\n$/],
    [[join(folder, 'text'), '{port}'], /^fastify-mlflow-security: -- ".*text" cannot be started: .*EACCES\.\n$/]
  ] as const) t.match(await run(t, ['--port', '0', '--', ...command], env), { code: 2, err: message })
})

t.test('a server that never answers can be ended; any other command has {port}', { skip: POSIX }, async t => {
  const silent = 'console.log("port", process.argv[1]); setInterval(() => {}, 1000)'
  const gateway = start(t, ['--port', '0', '--static-prefix', '/ml', '--', process.execPath, '-e', silent, '{port}'])
  await says(gateway, /Protecting/)
  const port = (): string | undefined => /^node \| port (\d+)$/m.exec(gateway.said.err)?.[1]
  await until(() => port() !== undefined)
  t.match(gateway.said.out, `Protecting http://127.0.0.1:${port()} at`)
  gateway.child.kill('SIGTERM')
  t.same(await once(gateway.child, 'close'), [0, null])
})
