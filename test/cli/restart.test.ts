import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import type { RequestListener } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { listening, says, start } from '../fixtures/programs.js'
import type { Started } from '../fixtures/programs.js'
import { request } from '../fixtures/server.js'
import { upstream } from '../fixtures/upstream.js'
import { until } from '../fixtures/until.js'

const HOST = ['Host', 'localhost'] as const

/** Quick answers, slow ones, and streams that never end. */
const answer: RequestListener = (request, response) => {
  if (request.url === '/stream') response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
  else if (request.url === '/slow') request.resume().on('end', () => setTimeout(() => response.end('ok'), 150))
  else if (request.url === '/long') {
    response.write('ok')
    setTimeout(() => response.end(), 1500)
  } else request.resume().on('end', () => response.end('ok'))
}

interface Load { readonly errors: string[], answers: number, isOver: boolean }

/** One client that keeps its connection, as SDKs and balancers do. Nobody listening is no failure: it comes back. */
async function client (port: number, path: string, load: Load): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  while (!load.isOver) {
    const said = await ask(port, path, agent)
    if (said === 'ECONNREFUSED') await wait(20)
    else if (said === '200 ok') load.answers++
    else load.errors.push(`${path}: ${said}`)
  }
  agent.destroy()
}

function ask (port: number, path: string, agent: Agent): Promise<string> {
  return new Promise(resolve => {
    const asked = httpRequest({ port, host: '127.0.0.1', path, method: 'POST', agent }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', chunk => { body += chunk }).on('error', error => resolve(String(error)))
      response.on('end', () => resolve(`${response.statusCode} ${body}`))
    })
    asked.on('error', error => resolve('code' in error ? String(error.code) : error.message)).end('{"a":1}')
  })
}

async function restarted (t: Test, target: string, port: number): Promise<Awaited<ReturnType<typeof listening>>> {
  const started = start(t, ['--upstream', target, '--port', String(port)])
  await says(started, /Protecting/)
  return { ...started, port }
}

t.test('restarts under load fail no request', async t => {
  const target = await upstream(t, answer)
  let running = await listening(t, ['--upstream', target])
  const { port } = running
  const load: Load = { errors: [], answers: 0, isOver: false }
  const clients = ['/quick', '/quick', '/quick', '/slow', '/slow', '/long'].map(path => client(port, path, load))
  for (let restart = 0; restart < 3; restart++) {
    const before = load.answers
    await until(() => load.answers >= before + 50)
    running.child.kill('SIGTERM')
    t.same(await once(running.child, 'close'), [0, null])
    running = await restarted(t, target, port)
  }
  const before = load.answers
  await until(() => load.answers >= before + 20)
  load.isOver = true
  await Promise.all(clients)
  t.strictSame(load.errors, [])
})

/** A connection that has had one answer, and what it has been sent. */
async function kept (t: Test, port: number, path: string): Promise<{ socket: Socket, said: { text: string }, ask (path: string): void }> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  t.teardown(() => socket.destroy())
  const said = { text: '' }
  socket.on('data', chunk => { said.text += chunk }).on('error', () => {})
  const ask = (path: string): void => { socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`) }
  ask(path)
  await once(socket, 'data')
  return { socket, said, ask }
}

const isEnding = (started: Started): Promise<unknown> => says(started, /SIGTERM: /)

t.test('kept connections: the next answer is the last, idle ones end after a second', async t => {
  let slow = false
  const target = await upstream(t, (request, response) => {
    if (request.url === '/slow') slow = true
    answer(request, response)
  })
  const gateway = await listening(t, ['--upstream', target])
  const [busy, next, idle] = [await kept(t, gateway.port, '/quick'), await kept(t, gateway.port, '/quick'), await kept(t, gateway.port, '/quick')]
  t.match(idle.said.text, /\r\nconnection: keep-alive\r\nKeep-Alive: timeout=72\r\n/i)
  busy.ask('/slow')
  await until(() => slow)
  const begun = Date.now()
  gateway.child.kill('SIGTERM')
  await isEnding(gateway)
  next.said.text = ''
  next.ask('/quick')
  await Promise.all([once(next.socket, 'close'), once(busy.socket, 'close')])
  t.match(next.said.text, /^HTTP\/1\.1 200 OK\r\n[^]*\r\nConnection: close\r\n[^]*ok/, 'served, and told to go')
  t.match(busy.said.text, /HTTP\/1\.1 200 OK\r\n[^]*HTTP\/1\.1 200 OK\r\n[^]*\r\nConnection: close\r\n[^]*ok/, 'so is what was running')
  t.notOk(idle.socket.closed, 'at once')
  if (!idle.socket.closed) await once(idle.socket, 'close')
  const taken = Date.now() - begun
  t.ok(taken >= 900 && taken < 3000, `the idle one after ${taken} ms`)
  t.same(await once(gateway.child, 'close'), [0, null])
})

t.test('open streams end after --shutdown-timeout, with exit code 0', async t => {
  const sockets = await upstream(t, answer)
  const gateway = await listening(t, ['--upstream', sockets, '--shutdown-timeout', '1.5'])
  const stream = await kept(t, gateway.port, '/stream')
  const begun = Date.now()
  gateway.child.kill('SIGTERM')
  await isEnding(gateway)
  await t.rejects(request(gateway.port, 'GET', '/', [HOST]), { code: 'ECONNREFUSED' }, 'nothing new')
  t.same(await once(gateway.child, 'close'), [0, null])
  const taken = Date.now() - begun
  t.ok(taken >= 1400 && taken < 5000, `after ${taken} ms`)
  t.match(stream.said.text, /data: 1/)
  t.notMatch(stream.said.text, /\r\n0\r\n\r\n$/, 'what is cut off does not look whole')
  t.match(gateway.said.out, /"url":"\/stream"/)
})

t.test('--drain-delay: health says 503, and everything else is served as always', async t => {
  const gateway = await listening(t, ['--upstream', await upstream(t, answer), '--drain-delay', '1', '--health-routes', '/health,/ready', '--static-prefix', '/ml'])
  const connection = await kept(t, gateway.port, '/quick')
  for (const path of ['/ml/health', '/ml/ready']) t.equal((await request(gateway.port, 'GET', path, [['Host', 'any']])).status, 200, path)
  gateway.child.kill('SIGTERM')
  await isEnding(gateway)
  for (const path of ['/ml/health', '/ml/ready']) {
    t.match(await request(gateway.port, 'GET', path, [['Host', 'any']]), { status: 503, body: /FST_MLFLOW_SECURITY_DRAINING/ })
  }
  t.equal((await request(gateway.port, 'GET', '/health', [HOST])).status, 200, 'not below the prefix: a path like any other')
  connection.said.text = ''
  connection.ask('/quick')
  await once(connection.socket, 'data')
  t.match(connection.said.text, /^HTTP\/1\.1 200 OK\r\n[^]*connection: keep-alive/i)
  t.match(gateway.said.out, /"SIGTERM: for 1 s the health paths answer 503, and everything else is served \(--drain-delay\)"/)
  t.notMatch(gateway.said.out, /no new connection/, 'not yet')
  t.same(await once(gateway.child, 'close'), [0, null])
  t.match(gateway.said.out, /"Now running requests may finish, and no new connection is accepted"/)
  t.notMatch(gateway.said.out, /"level":[56]0/)
})

t.test('a second signal ends it at once', async t => {
  const gateway = await listening(t, ['--upstream', await upstream(t, answer)])
  await kept(t, gateway.port, '/stream')
  gateway.child.kill('SIGTERM')
  await isEnding(gateway)
  gateway.child.kill('SIGINT')
  t.same(await once(gateway.child, 'close'), [130, null])
})

t.test('an error that nobody has caught while it ends is the last', async t => {
  const script = "process.once('SIGUSR2', () => { throw new Error('unforeseen') })"
  const gateway = await listening(t, ['--upstream', await upstream(t, answer)], {}, ['--import', `data:text/javascript,${encodeURIComponent(script)}`])
  await kept(t, gateway.port, '/stream')
  gateway.child.kill('SIGTERM')
  await isEnding(gateway)
  gateway.child.kill('SIGUSR2')
  t.same(await once(gateway.child, 'close'), [1, null])
})
