import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { connect as connectHttp2, createSecureServer } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { trackConnections } from '../../lib/gateway/drain.js'
import { certificate } from '../fixtures/upstream.js'
import { until } from '../fixtures/until.js'

const answer: RequestListener = (request, response) => {
  if (request.url === '/begun') response.write('begun')
  else request.resume().on('end', () => response.end('ok'))
}

async function listening (t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

async function ask (socket: Socket, path: string, headers = ''): Promise<void> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`)
  await once(socket, 'data')
}

t.test('over TLS connections end as without it; handshakes that never end do not keep the server', async t => {
  const server = createTlsServer(certificate(), answer)
  const connections = trackConnections(server)
  const port = await listening(t, server)
  const kept = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(kept, 'secureConnect')
  await ask(kept, '/')
  const silent = connect(port, '127.0.0.1')
  await once(silent, 'connect')
  const begun = Date.now()
  const drained = connections.drain(1500)
  kept.resume()
  await once(kept, 'close')
  t.ok(Date.now() - begun >= 900, 'idle for a second')
  await drained
  t.ok(Date.now() - begun >= 1400, 'the other one to the end')
  silent.destroy()
})

t.test('a request that is still coming is none that is idle', async t => {
  const server = createServer(answer)
  const connections = trackConnections(server)
  const socket = connect(await listening(t, server), '127.0.0.1').setEncoding('latin1')
  let said = ''
  socket.on('data', chunk => { said += chunk })
  await ask(socket, '/')
  const drained = connections.drain(5000)
  for (const piece of ['GET / HTTP/1.1\r\n', 'Host: a\r\n', 'Accept: */*\r\n']) {
    await new Promise(resolve => { setTimeout(resolve, 600) })
    socket.write(piece)
  }
  socket.write('\r\n')
  await Promise.all([drained, once(socket, 'close')])
  t.match(said, /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 200 OK\r\n[^]*Connection: close/)
})

t.test('an answer that has begun ends, and its connection is idle from then on; Expect and upgrades are followed', async t => {
  const begun: Array<{ end (text: string): void }> = []
  const server = createServer()
  const onRequest: RequestListener = (_request, response) => {
    response.write('begun ')
    begun.push(response)
  }
  server.on('request', onRequest)
  server.on('checkContinue', onRequest)
  server.on('upgrade', (_, socket) => { socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n') })
  const connections = trackConnections(server)
  const port = await listening(t, server)
  const [plain, expecting, joined] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  const texts = [plain, expecting, joined].map(socket => {
    const said = { text: '' }
    socket.setEncoding('latin1').on('data', chunk => { said.text += chunk }).on('error', () => {})
    return said
  })
  await ask(plain, '/')
  await ask(expecting, '/', 'Expect: 100-continue\r\n')
  await ask(joined, '/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')
  const drained = connections.drain(2500)
  for (const response of begun) response.end('ended')
  await Promise.all([once(plain, 'close'), once(expecting, 'close')])
  for (const said of texts.slice(0, 2)) t.match(said.text, /begun [^]*ended/)
  t.notOk(joined.closed, 'what is joined has the whole time')
  await drained
  if (!joined.closed) await once(joined, 'close')
})

t.test('a server that does not listen for Expect answers it as Node does', async t => {
  const server = createServer((_request, response) => { response.end('ok') })
  trackConnections(server, false)
  const socket = connect(await listening(t, server), '127.0.0.1')
  let said = ''
  socket.setEncoding('latin1').on('data', chunk => { said += chunk })
  for (let i = 1; i <= 2; i++) {
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi')
    await until(() => said.split('HTTP/1.1 100 Continue').length === i + 1 && said.split('HTTP/1.1 200').length === i + 1)
  }
  socket.destroy()
})

t.test('HTTP/2 sessions are told to go, and end with their streams', async t => {
  const { cert, key } = certificate()
  const server = createSecureServer({ cert, key, allowHTTP1: true }, (_request, response) => { setTimeout(() => response.end('ok'), 300) })
  const connections = trackConnections(server as unknown as Server)
  const port = await listening(t, server as unknown as Server)
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  const goaway = once(session, 'goaway')
  const stream = session.request({ ':path': '/' })
  await once(session, 'connect')
  const first = once(server, 'request')
  await first
  const drained = connections.drain(5000)
  const begun = Date.now()
  await goaway
  let body = ''
  stream.setEncoding('utf8').on('data', chunk => { body += chunk })
  await once(stream, 'close')
  t.equal(body, 'ok')
  await drained
  t.ok(Date.now() - begun < 4000, 'and nothing waits for the timeout')
})
