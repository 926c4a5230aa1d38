// WebSockets that are open.
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { secure } from '../fixtures/http2.js'
import { upgrade } from '../fixtures/server.js'
import { UPGRADE } from '../fixtures/sockets.js'
import { settled, until } from '../fixtures/until.js'
import { certificate, gateway, recorder, socketServer, tlsUpstream, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

t.test('WebSockets pass when they are allowed, with their headers', async t => {
  const { seen, listener } = recorder()
  const target = await upstream(t, listener)
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  t.teardown(() => sockets.close())
  const headers: Array<IncomingMessage['headers']> = []
  sockets.on('connection', (socket, { headers: received }) => {
    headers.push(received)
    socket.on('message', data => { socket.send(`echo ${String(data)}`) })
  })
  const { port } = await gateway(t, { upstream: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}` })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?a=1`, ['proto'], {
    headers: { authorization: 'Bearer x', cookie: 'a=b', 'sec-fetch-site': 'same-origin' }, origin: `http://127.0.0.1:${port}`
  })
  await once(socket, 'open')
  socket.send('hello')
  const [message] = await once(socket, 'message')
  t.equal(String(message), 'echo hello')
  t.match(headers, [{ authorization: 'Bearer x', cookie: 'a=b', 'sec-websocket-protocol': 'proto', 'x-forwarded-host': `127.0.0.1:${port}` }])
  t.notOk(headers[0]?.origin)
  t.notOk(headers[0]?.['sec-fetch-site'])
  socket.close()

  const loop = headers[0]?.via ?? ''
  t.match(loop, /^1\.1 mlflow-gateway-/)
  t.equal(await upgrade(port, '/ws', [HOST, ['Via', loop]]), 508, 'a WebSocket that leads back')

  const plain = await gateway(t, { upstream: target })
  t.equal(await upgrade(plain.port, '/health', [HOST]), 200, 'an upstream that knows none answers as it likes, on a health route as well')
  t.equal(seen.length, 1)
})

t.test('every subprotocol and extension is offered', async t => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: true, handleProtocols: offered => [...offered].at(-1) ?? false })
  t.teardown(() => sockets.close())
  await once(sockets, 'listening')
  const { port } = await gateway(t, { upstream: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}` })
  const client = new WebSocket(`ws://127.0.0.1:${port}/`, ['a', 'b', 'c'], { perMessageDeflate: true })
  await once(client, 'open')
  t.equal(client.protocol, 'c')
  t.match(client.extensions, 'permessage-deflate')
  client.close()
})

t.test('a socket that is closed on one side still gets what the other side sends', async t => {
  const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  const target = await socketServer(t, socket => {
    let text = ''
    socket.once('data', () => { socket.write(switching); socket.on('data', chunk => { text += chunk }) })
    socket.on('end', () => { setTimeout(() => socket.end(`got ${text}`), 50) })
  })
  const { port } = await gateway(t, { upstream: target })
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let got = ''
  socket.setEncoding('latin1').on('data', chunk => { got += chunk })
  socket.write(`${UPGRADE}early `)
  await until(() => got.includes('101'))
  socket.end('late')
  await once(socket, 'end')
  t.equal(got, `${switching}got early late`, 'early data, too')
})

t.test('a WebSocket that nobody reads holds the other side back, and loses nothing', async t => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(sockets, 'listening')
  t.teardown(() => sockets.close())
  const { port } = await gateway(t, { upstream: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}` })
  const client = new WebSocket(`ws://127.0.0.1:${port}/`)
  const [[server]] = await Promise.all([once(sockets, 'connection'), once(client, 'open')])
  for (const [name, sender, reader] of [['the client does not read', server, client], ['the upstream does not read', client, server]] as const) {
    const everything = new Promise<void>(resolve => {
      let read = 0
      reader.on('message', () => { if (++read === 48) resolve() })
    })
    reader.pause()
    for (let i = 0; i < 48; i++) sender.send(Buffer.alloc(1 << 20))
    const waiting = await settled(() => sender.bufferedAmount)
    t.ok(waiting > 1 << 24, `${name}: ${waiting} bytes wait where they come from`)
    reader.resume()
    await everything
    t.equal(sender.bufferedAmount, 0)
  }
  client.close()
})

t.test('a WebSocket to an upstream by https, whose certificate is trusted', async t => {
  const tls = certificate()
  const target = await tlsUpstream(t, () => {}, tls, server => {
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', socket => { socket.send('hello') })
  })
  const { port } = await gateway(t, { upstream: target, upstreamCa: tls.cert })
  const client = new WebSocket(`ws://127.0.0.1:${port}/`)
  const [message] = await once(client, 'message')
  t.equal(String(message), 'hello')
  client.close()
})

t.test('WebSockets over TLS', async t => {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => sockets.close())
  await once(sockets, 'listening')
  sockets.on('connection', socket => { socket.on('message', data => { socket.send(`echo ${String(data)}`) }) })
  const address = sockets.address()
  const { port, cert, close } = await secure(t, { upstream: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}` })
  const client = new WebSocket(`wss://127.0.0.1:${port}/`, { ca: cert })
  await once(client, 'open')
  client.send('hello')
  const [message] = await once(client, 'message')
  t.equal(String(message), 'echo hello')
  const ended = once(client, 'close')
  await close()
  await ended
})
