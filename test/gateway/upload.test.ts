import { once } from 'node:events'
import { IncomingMessage, request as httpRequest } from 'node:http'
import { connect, Socket } from 'node:net'
import t from 'tap'
import { Upload } from '../../lib/gateway/upload.js'
import { send } from '../fixtures/server.js'
import { settled, until } from '../fixtures/until.js'
import { gateway, prepared, recorder, socketServer, upstream } from '../fixtures/upstream.js'

t.test('the body of a client that went before anybody asked for it fails', async t => {
  const source = new IncomingMessage(new Socket())
  source.destroy()
  await once(source, 'close')
  const upload = new Upload(source)
  const failed = once(upload, 'error')
  upload.resume()
  t.match(await failed, [{ name: 'Error' }])
  t.equal(upload.isBegun, false)
})

t.test('an upstream that answers during an upload, and hangs up: its answer reaches the client, whose connection lives on', async t => {
  const target = await socketServer(t, socket => {
    socket.once('data', () => { socket.end('HTTP/1.1 413 Content Too Large\r\ncontent-length: 9\r\nconnection: close\r\n\r\ntoo large') })
  })
  const aborted: string[] = []
  const ips: string[] = []
  const { port, lines } = await prepared(t, { upstream: target }, app => {
    app.addHook('onRequestAbort', async ({ url }) => { aborted.push(url) })
    app.addHook('onResponse', async ({ ip }) => { ips.push(ip) })
  })
  for (let i = 0; i < 5; i++) {
    const put = httpRequest({ port, host: '127.0.0.1', method: 'PUT', path: '/big', headers: { host: 'localhost', 'content-length': 20_000_000 } })
    put.on('error', () => {})
    const body = Buffer.alloc(20_000_000)
    put.write(body)
    const [response] = await once(put, 'response')
    let text = ''
    for await (const chunk of response) text += chunk
    t.match({ status: response.statusCode, text }, { status: 413, text: 'too large' })
    put.destroy()
  }
  await until(() => ips.length >= 5)
  t.strictSame(ips, Array(5).fill('127.0.0.1'), 'hooks see who asked')
  t.notOk(lines.some(({ level }) => level >= 50))
})

t.test('after an upload the hooks see who it was, and no abort', async t => {
  const { listener } = recorder()
  const seen: unknown[] = []
  const { port } = await prepared(t, { upstream: await upstream(t, listener) }, app => {
    app.addHook('onRequestAbort', async _request => { seen.push('aborted') })
    app.addHook('onResponse', async ({ ip, raw }) => { seen.push(ip, raw.socket === null) })
  })
  t.equal((await fetch(`http://127.0.0.1:${port}/`, { method: 'PUT', body: 'x'.repeat(100_000) })).status, 200)
  await until(() => seen.length > 0)
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200)
  await until(() => seen.length > 2)
  t.strictSame(seen, ['127.0.0.1', false, '127.0.0.1', false])
})

t.test('an upload waits for an upstream that does not read, and comes whole', async t => {
  const size = 30_000_000
  let got = 0
  let begin = (): void => {}
  const target = await upstream(t, (request, response) => {
    begin = () => { request.on('data', (chunk: Buffer) => { got += chunk.length }).on('end', () => { response.end('ok') }) }
  })
  const { port } = await gateway(t, { upstream: target })
  const put = httpRequest({ port, host: '127.0.0.1', method: 'PUT', headers: { host: 'localhost', 'content-length': size } })
  put.end(Buffer.alloc(size))
  t.ok(await settled(() => put.socket?.writableLength ?? 0) > 0, 'it is held back')
  begin()
  const [response] = await once(put, 'response')
  response.resume()
  t.match({ status: response.statusCode, got }, { status: 200, got: size })
})

t.test('an upload whose body has begun is not sent again', async t => {
  let asked = 0
  const target = await socketServer(t, socket => {
    socket.once('data', () => { asked++; socket.destroy() })
  })
  const { port } = await gateway(t, { upstream: target })
  t.match(await send(port, 'PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc'), /^HTTP\/1\.1 502 /)
  t.equal(asked, 1)
})

t.test('a client that sends its whole body before it reads gets an answer that came early, and its connection is kept', async t => {
  const target = await upstream(t, (request, response) => {
    if (request.url === '/reset') request.once('data', () => { request.socket.destroy() })
    else response.writeHead(401, { 'content-length': '2' }).end('no')
  })
  const { port } = await gateway(t, { upstream: target })
  for (const [target, status] of [['/', 401], ['/reset', 502]] as const) {
    const socket = connect(port, '127.0.0.1')
    const length = 16 << 20
    socket.write(`PUT ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`)
    await new Promise(resolve => { socket.write(Buffer.alloc(length), resolve) })
    let answer = ''
    socket.setEncoding('latin1').on('data', chunk => { answer += chunk })
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    await once(socket, 'end')
    t.match(answer.match(/HTTP\/1\.1 \d+/g), [`HTTP/1.1 ${status}`, 'HTTP/1.1 401'], target)
  }
})
