import { once } from 'node:events'
import { createServer as createTlsServer } from 'node:https'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import t from 'tap'
import { observe } from '../../lib/gateway/observers.js'
import { request, send } from '../fixtures/server.js'
import { UPGRADE } from '../fixtures/sockets.js'
import { settled, until } from '../fixtures/until.js'
import { certificate, gateway, prepared, socketServer, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('who hangs up ends the request on the other side too', async t => {
  const asked: Array<string | undefined> = []
  const closed: string[] = []
  const target = await upstream(t, (request, response) => {
    asked.push(request.url)
    response.on('close', () => { if (!response.writableFinished) closed.push(request.url ?? '') })
    if (request.url === '/body') response.writeHead(200).write('begun')
    if (request.url === '/breaks') {
      response.writeHead(200, { 'content-length': '100' }).write('begun')
      setTimeout(() => response.destroy(), 50)
    }
  })
  const { port, lines } = await gateway(t, { upstream: target })
  for (const path of ['/waiting', '/body']) {
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    if (path === '/body') await once(socket, 'data')
    else await until(() => asked.includes(path))
    socket.destroy()
    await until(() => closed.includes(path))
    t.pass(`the client hangs up: ${path}`)
  }
  const upload = connect(port, '127.0.0.1')
  upload.write('POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc')
  await until(() => asked.includes('/upload'))
  upload.destroy()
  await until(() => closed.includes('/upload'))
  t.notOk(lines.some(({ level }) => level >= 50), 'a client that hangs up is no error of ours')

  const answer = await send(port, 'GET /breaks HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.match(answer, /begun$/, 'the upstream breaks off: the answer ends, incomplete as it is')
  t.equal((await request(port, 'GET', '/nothing', [['Host', 'evil.com']])).status, 403, 'the gateway lives on')
})

t.test('a client that hangs up before its turn on the connection ends its request as well', async t => {
  const asked: string[] = []
  const closed: string[] = []
  const target = await upstream(t, ({ url = '' }, response) => { asked.push(url); response.on('close', () => { closed.push(url) }) })
  const { port, lines } = await gateway(t, { upstream: target })
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until(() => asked.length === 1)
  socket.destroy()
  await until(() => closed.length === 1)
  await until(() => lines.filter(({ statusCode }) => statusCode === 499).length === 2)
  t.same(asked, ['/1'])
})

t.test('pipelined requests reach the upstream one after the other, bodies included, and are answered in order', async t => {
  const asked: string[] = []
  let running = 0
  let most = 0
  const target = await upstream(t, (request, response) => {
    most = Math.max(most, ++running)
    let body = ''
    request.on('data', chunk => { body += chunk }).on('end', () => {
      asked.push(`${request.method} ${request.url} ${body}`)
      setImmediate(() => { running--; response.end(`${request.url};`) })
    })
  })
  const { port } = await gateway(t, { upstream: target })
  const requests = Array.from({ length: 10 }, (_, i) =>
    `POST /${2 * i} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nb${i}GET /${2 * i + 1} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  const answer = await send(port, `${requests.join('')}GET /20 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  t.same(answer.match(/\/\d+;/g), Array.from({ length: 21 }, (_, i) => `/${i};`))
  t.equal(most, 1)
  t.same(asked.slice(0, 4), ['POST /0 b0', 'GET /1 ', 'POST /2 b1', 'GET /3 '])
})

t.test('a connection on which too many requests wait is ended', async t => {
  const asked: string[] = []
  let closed = 0
  const target = await upstream(t, ({ url = '' }, response) => { asked.push(url); response.on('close', () => { closed++ }) })
  const { port } = await gateway(t, { upstream: target })
  const get = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  socket.write(get.repeat(251))
  await until(() => asked.length === 1)
  await settled(() => asked.length)
  t.notOk(socket.closed, '250 may wait')
  socket.write(get)
  await once(socket, 'close')
  await until(() => closed === 1)
  t.same(asked, ['/'])
})

t.test('a connection that is pipelined on for long keeps nothing of the requests that it had', async t => {
  const target = await upstream(t, (_request, response) => { response.end('ok') })
  const connections: Socket[] = []
  const { port } = await prepared(t, { upstream: target }, app => { app.server.on('connection', (socket: Socket) => { connections.push(socket) }) })
  const socket = connect(port, '127.0.0.1')
  let answered = 0
  let most = 0
  socket.on('data', chunk => { answered += String(chunk).split('HTTP/1.1 200').length - 1 })
  for (let asked = 20; asked <= 200; asked += 20) {
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(20))
    await until(() => answered > asked - 20)
    most = Math.max(most, connections[0]?.listenerCount('close') ?? Infinity)
  }
  await until(() => answered === 200)
  t.ok(most <= 10, `${most} listeners`) // at eleven Node warns of a leak
  socket.destroy()
})

t.test('a client that is gone before a hook has let its request pass: the upstream is not asked', async t => {
  let asked = 0
  const target = await upstream(t, (_request, response) => { asked++; response.end('ok') })
  let [begun, passed] = [0, 0]
  const ended: number[] = []
  const { port, lines } = await prepared(t, { upstream: target }, app => {
    app.addHook('preHandler', async ({ raw, url }) => {
      begun++
      if (url === '/gone') await new Promise(resolve => { raw.socket.once('close', () => { setImmediate(resolve) }) })
      passed++
    })
    observe(app.server, { ended: (_request, status) => { ended.push(status) } })
  })
  for (const text of [
    'GET /gone HTTP/1.1\r\nHost: localhost\r\n\r\n', 'PUT /gone HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabc',
    UPGRADE.replace('/', '/gone'),
    'GET /gone HTTP/1.1\r\nHost: localhost\r\n\r\nGET /gone HTTP/1.1\r\nHost: localhost\r\n\r\n' // the second one waits for its turn
  ]) {
    asked = begun = passed = 0
    const requests = text.split('HTTP/1.1').length - 1
    const socket = connect(port, '127.0.0.1')
    socket.write(text)
    await until(() => begun === requests)
    socket.destroy()
    await until(() => passed === requests)
    t.equal((await request(port, 'GET', '/', [HOST])).status, 200)
    t.equal(asked, 1, `the last request alone: ${text}`)
  }
  t.strictSame(ended, Array(5).fill(499))
  t.equal(lines.filter(({ msg, url }) => url === '/gone' && msg === 'the client has hung up').length, 5)
})

t.test('an upload whose client is gone before a hook has let it pass ends there, and no body reaches the upstream', async t => {
  const bodies: number[] = []
  const target = await upstream(t, (request, response) => {
    request.on('data', (chunk: Buffer) => { bodies.push(chunk.length) }).on('end', () => { response.end('ok') }).on('error', () => {})
  })
  let [begun, passed] = [false, false]
  const { port, lines } = await prepared(t, { upstream: target }, app => {
    app.addHook('preHandler', async ({ raw, url }) => {
      if (url !== '/gone') return
      begun = true
      await new Promise(resolve => { raw.socket.once('close', resolve) })
      passed = true
    })
  })
  const socket = connect(port, '127.0.0.1')
  socket.write('PUT /gone HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc')
  await until(() => begun)
  socket.destroy()
  await until(() => passed)
  t.equal((await fetch(`http://127.0.0.1:${port}/`, { method: 'PUT', body: 'ab' })).status, 200)
  t.strictSame(bodies, [2], 'that of the other upload alone')
  t.notOk(lines.some(({ level }) => level >= 40), 'nor is it told as a failure of the upstream')
})

t.test('a client that hangs up while its upload waits for a connection does not end the gateway', async t => {
  const tls = certificate()
  const secured = createTlsServer(tls, (_request, response) => { response.end('ok') })
  const held: Socket[] = []
  let isHolding = true
  const target = await socketServer(t, socket => { if (isHolding) held.push(socket); else secured.emit('connection', socket) })
  const { port, lines } = await gateway(t, { upstream: target.replace('http:', 'https:'), upstreamCa: tls.cert })
  const client = connect(port, '127.0.0.1', () => { client.write('PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc') })
  await until(() => held.length === 1)
  client.destroy()
  await until(() => lines.some(({ msg }) => msg === 'the client has hung up'))
  isHolding = false
  for (const socket of held) secured.emit('connection', socket)
  t.match(await request(port, 'GET', '/', [HOST]), { status: 200, body: 'ok' })
})

t.test('a client whose turn came, and who hangs up then, is told of once', async t => {
  const target = await upstream(t, ({ url }, response) => { if (url !== '/2') response.end('ok') })
  const { port, lines } = await gateway(t, { upstream: target })
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  // By the time of another answer its turn has come.
  t.equal((await request(port, 'GET', '/3', [HOST])).status, 200)
  socket.destroy()
  const told = () => lines.filter(({ url, msg }) => url === '/2' && msg === 'the client has hung up').length
  await until(() => told() > 0)
  t.equal((await request(port, 'GET', '/3', [HOST])).status, 200)
  t.equal(told(), 1)
})
