import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, createReadStream, openSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { CLI, listening, says, start } from '../fixtures/programs.js'
import { request } from '../fixtures/server.js'
import { echo, upstream } from '../fixtures/upstream.js'
import { until } from '../fixtures/until.js'
import { freePort } from '../../lib/cli/child/ports.js'

const HOST = ['Host', 'localhost'] as const

/** The command with its log somewhere else than in a pipe that the test reads. */
async function withLogTo (t: Test, log: number | 'pipe', args: readonly string[] = []): Promise<{ child: ChildProcess, port: number, figures: number }> {
  const [port, figures] = [await freePort(), await freePort()]
  const child = spawn(process.execPath, [CLI, '--upstream', await echo(t), '--port', String(port), '--metrics', String(figures), ...args], {
    stdio: ['ignore', log, 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  return { child, port, figures }
}

/** Waits until a gateway answers: nobody can read where it listens. */
async function untilItAnswers (port: number): Promise<void> {
  await until(async () => (await request(port, 'GET', '/', [HOST]).catch(() => undefined))?.status === 200)
}

async function dropped (figures: number): Promise<number> {
  const { body } = await request(figures, 'GET', '/metrics', [HOST])
  return Number(/^mlflow_gateway_log_lines_dropped_total (\d+)$/m.exec(body)?.[1])
}

async function servesAndEnds (t: Test, child: ChildProcess, port: number): Promise<void> {
  for (let i = 0; i < 20; i++) t.equal((await request(port, 'GET', `/${i}`, [HOST])).body, `GET /${i}`)
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null], 'and it ends as ever')
}

t.test('a full disk below the log stops nothing', async t => {
  const full = openSync('/dev/full', 'w')
  const { child, port, figures } = await withLogTo(t, full)
  closeSync(full)
  await untilItAnswers(port)
  t.ok(await dropped(figures) > 3, 'the lines are counted')
  await servesAndEnds(t, child, port)
})

t.test('an error that nobody has caught ends it with 1 on a full disk too', async t => {
  const full = openSync('/dev/full', 'w')
  const script = "process.once('SIGUSR2', () => { throw new Error('unforeseen') })"
  const port = await freePort()
  const child = spawn(process.execPath, [
    '--import', `data:text/javascript,${encodeURIComponent(script)}`, CLI, '--upstream', await echo(t), '--port', String(port)
  ], { stdio: ['ignore', full, 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  closeSync(full)
  await untilItAnswers(port)
  child.kill('SIGUSR2')
  t.same(await once(child, 'exit'), [1, null])
})

t.test('a pipe that is closed stops nothing', async t => {
  const { child, port, figures } = await withLogTo(t, 'pipe')
  child.stdout?.destroy()
  await untilItAnswers(port)
  t.ok(await dropped(figures) > 0)
  await servesAndEnds(t, child, port)
})

t.test('a pipe that nobody reads stops nothing, and does not fill the memory', async t => {
  const { child, port, figures } = await withLogTo(t, 'pipe')
  await untilItAnswers(port)
  const flood = async (): Promise<void> => {
    const socket = connect(port, '127.0.0.1')
    socket.on('data', () => {})
    const long = `GET /${'x'.repeat(900)} HTTP/1.1\r\nHost: localhost\r\n\r\n`
    socket.write(long.repeat(200))
    socket.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    await once(socket, 'close')
  }
  await until(async () => {
    await flood() // a mebibyte has to wait first
    return await dropped(figures) > 0
  })
  const lost = await dropped(figures)
  let said = ''
  child.stdout?.setEncoding('utf8').on('data', chunk => { said += chunk })
  await until(async () => {
    await request(port, 'GET', '/again', [HOST])
    return /lines of the log could not be written/.test(said)
  })
  const lines = said.trim().split('\n').map(line => JSON.parse(line))
  const told = lines.filter(line => line.dropped !== undefined)
  t.match(told, [{ level: 40, dropped: Number, msg: /^\d+ lines of the log could not be written and are lost$/ }])
  t.ok(told[0].dropped >= lost, 'once it works again, what is lost is said')
  await servesAndEnds(t, child, port)
})

t.test('a log that works again says what is lost', async t => {
  const fifo = join(t.testdir(), 'log')
  execFileSync('mkfifo', [fifo])
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(fifo, 'w')
  const { child, port, figures } = await withLogTo(t, writer)
  closeSync(reader) // nobody reads it: each write fails
  closeSync(writer)
  await untilItAnswers(port)
  const lost = await dropped(figures)
  t.ok(lost > 0)
  const stream = createReadStream(fifo, 'utf8')
  t.teardown(() => stream.destroy())
  let said = ''
  stream.on('data', chunk => { said += String(chunk) })
  await until(async () => {
    await request(port, 'GET', '/again', [HOST])
    return /could not be written/.test(said)
  })
  const lines = said.split('\n').filter(line => line !== '').map(line => JSON.parse(line))
  t.match(lines.filter(line => line.dropped !== undefined), [{ level: 40, pid: child.pid }])
  await servesAndEnds(t, child, port)
})

t.test('each line of a request has its method and URL; a refusal is one line; who hangs up is no error', async t => {
  let waiting = false
  const target = await upstream(t, (request, response) => {
    if (request.url === '/broken') response.destroy()
    else if (request.url === '/never') waiting = true
    else response.end('ok')
  })
  const gateway = await listening(t, ['--upstream', target])
  const { port } = gateway
  await request(port, 'GET', '/ok?a=1', [HOST])
  await request(port, 'POST', '/refused', [['Host', 'evil.com']])
  await request(port, 'GET', '/broken', [HOST])
  await request(port, 'GET', `/${'x'.repeat(2000)}`, [HOST])
  const socket = connect(port, '127.0.0.1', () => { socket.write('GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n') })
  await until(() => waiting)
  socket.destroy()
  await says(gateway, /hung up/)
  gateway.child.kill('SIGTERM')
  await once(gateway.child, 'close')
  const lines = gateway.said.out.trim().split('\n').map(line => JSON.parse(line))
  const of = (url: string) => lines.filter(line => line.url === url)
  t.match(of('/ok?a=1'), [{ level: 30, method: 'GET', res: { statusCode: 200 }, responseTime: Number, remoteAddress: '127.0.0.1', msg: 'request completed' }])
  t.match(of('/refused'), [{ level: 40, method: 'POST', code: 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED' }])
  t.equal(of('/refused').length, 1)
  t.match(of('/never'), [{ level: 30, method: 'GET', msg: 'the client has hung up' }])
  t.equal(of('/never').length, 1)
  t.notOk(of('/never')[0].err, 'without a stack')
  t.match(of('/broken'), [{ level: 40, method: 'GET', err: undefined, code: 'UND_ERR_SOCKET', msg: /^No answer from the upstream\. --upstream .*: http:\S+ does not answer \(UND_ERR_SOCKET\)\. Is the MLflow server running there\?$/ }])
  t.equal(lines.filter(line => line.reqId !== undefined && (line.method === undefined || line.url === undefined)).length, 0)
  t.match(lines.filter(line => line.url?.startsWith('/xxx')), [{ url: `/${'x'.repeat(999)}` }])
})

t.test('at --log-level warn what is served says nothing, and what is refused does', async t => {
  const { child, port } = await withLogTo(t, 'pipe', ['--log-level', 'warn'])
  let said = ''
  child.stdout?.setEncoding('utf8').on('data', chunk => { said += chunk })
  await untilItAnswers(port)
  await request(port, 'GET', '/refused', [['Host', 'evil.com']])
  child.kill('SIGTERM')
  await once(child, 'close')
  t.match(said.trim().split('\n').map(line => JSON.parse(line)), [{ level: 40, url: '/refused' }])
  t.equal(said.trim().split('\n').length, 1)
})

t.test('control characters of a request are escaped in the log: a terminal would obey them', async t => {
  const isTerminal = ['--import', `data:text/javascript,${encodeURIComponent('process.stdout.isTTY = true')}`]
  for (const nodeArgs of [[], isTerminal]) {
    const started = start(t, ['--upstream', await echo(t), '--port', '0'], {}, nodeArgs)
    const { said } = started
    const [, port] = await says(started, /Protecting .* at http:\/\/127\.0\.0\.1:(\d+)/)
    t.equal((await request(Number(port), 'GET', '/', [['Host', '\u009b31mred']])).status, 400)
    await until(() => /"?host"?: ?".*31mred"/.test(said.out))
    t.match(said.out, '\\u009b31mred')
    t.notMatch(said.out, '\u009b')
    t.equal(said.out.includes('"level":40'), nodeArgs.length === 0)
  }
})
