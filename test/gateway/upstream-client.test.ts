import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { errors } from 'undici'
import type { Dispatcher } from 'undici'
import { createGateway } from '../../lib/gateway.js'
import { closeIfUnused, createClient } from '../../lib/gateway/upstream-client.js'
import { listen, request, send } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'
import { certificate, gateway, recorder, socketServer, tlsUpstream, upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

/** Every answer is paused at each piece of its body, as for a client that is slow, and goes on after a while. */
class Slow implements Dispatcher.DispatchHandler {
  body = ''
  readonly begun: Promise<void>
  readonly outcome: Promise<'whole' | 'broken off'>
  #begin: () => void = () => {}
  #settle: (outcome: 'whole' | 'broken off') => void = () => {}

  constructor () {
    this.begun = new Promise(resolve => { this.#begin = resolve })
    this.outcome = new Promise(resolve => { this.#settle = resolve })
  }

  onResponseData (controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (chunk.length === 0) return controller.resume()
    this.body += String(chunk)
    controller.pause()
    this.#begin()
    setTimeout(() => { controller.resume() }, 300)
  }

  onResponseEnd (): void { this.#settle('whole') }
  onResponseError (): void { this.#settle('broken off') }
  onRequestStart (): void {}
  onResponseStart (): void {}
}

t.test('an upstream that ends the connection while the client is slow', async t => {
  const cases: Array<[answer: string, outcome: 'whole' | 'broken off']> = [
    ['Content-Length: 5\r\n\r\nwhole', 'whole'],
    ['\r\nwhole', 'whole'],
    ['Content-Length: 6\r\n\r\nwhole', 'broken off'],
    ['Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n', 'broken off']
  ]
  const tls = certificate()
  for (const [answer, outcome] of cases) {
    let slow = new Slow()
    const serve = (socket: Socket) => {
      socket.once('data', async () => {
        socket.write(`HTTP/1.1 200 OK\r\nConnection: close\r\n${answer}`)
        await slow.begun
        socket.end()
      })
    }
    for (const [scheme, server] of [['http', createServer(serve)], ['https', createTlsServer(tls, serve)]] as const) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const origin = `${scheme}://127.0.0.1:${port}`
      const client = await createClient({ origin, host: `127.0.0.1:${port}`, path: '', headersTimeout: 0, ca: tls.cert }, 16_384)
      slow = new Slow()
      client.dispatch({ origin, path: '/', method: 'GET' }, slow, false)
      t.equal(await slow.outcome, outcome, `${scheme}: ${JSON.stringify(answer)}`)
      t.equal(slow.body, 'whole')
      await client.close()
      server.close()
    }
  }
})

t.test('a gateway that has ended leaves the upstream no connection', async t => {
  let open = 0
  const target = await upstream(t, (request, response) => {
    open++
    request.socket.once('close', () => { open-- })
    response.end('ok')
  })
  const app = createGateway({ upstream: target })
  const port = await listen(app)
  t.equal((await request(port, 'GET', '/', [HOST])).status, 200)
  t.equal(open, 1, 'kept for the next request')
  await app.close()
  await until(() => open === 0)
  t.pass('it is closed')
})

t.test('https on either side: certificates are verified', async t => {
  const tls = certificate()
  const target = await tlsUpstream(t, (request, response) => { response.end(request.headers['x-forwarded-proto']) }, tls)
  const untrusting = await gateway(t, { upstream: target })
  t.equal((await request(untrusting.port, 'GET', '/', [HOST])).status, 502)
  t.match(untrusting.lines.find(({ level }) => level === 40), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  const { port } = await gateway(t, { upstream: target, upstreamCa: tls.cert, tls })
  const { Agent, fetch: undiciFetch } = await import('undici')
  const dispatcher = new Agent({ connect: { ca: tls.cert } })
  t.teardown(() => dispatcher.destroy())
  const response = await undiciFetch(`https://127.0.0.1:${port}/`, { dispatcher })
  t.equal(await response.text(), 'https')
})

t.test('connections are kept after HEAD, and after bodies of GET and DELETE', async t => {
  let connections = 0
  const { listener } = recorder()
  const target = await upstream(t, (request, response) => {
    request.socket.listenerCount('close') // it is there
    listener(request, response)
  }, { keepAliveTimeout: 5000 })
  const counting = await socketServer(t, socket => {
    connections++
    const { port } = new URL(target)
    const through = connect(Number(port), '127.0.0.1')
    through.on('error', () => {})
    socket.pipe(through).pipe(socket)
  })
  const { port } = await gateway(t, { upstream: counting })
  for (const [method, body] of [['HEAD', undefined], ['GET', 'body'], ['DELETE', 'body'], ['PUT', 'body'], ['GET', undefined]] as const) {
    const length = body === undefined ? '' : `Content-Length: ${body.length}\r\n`
    await send(port, `${method} / HTTP/1.1\r\nHost: localhost\r\n${length}Connection: close\r\n\r\n${body ?? ''}`)
  }
  t.equal(connections, 1)
})

t.test('headers of answers may be as long as those of requests', async t => {
  const target = await upstream(t, (_request, response) => { response.setHeader('x-long', 'a'.repeat(30_000)).end('ok') })
  const { port } = await gateway(t, { upstream: target })
  t.equal((await request(port, 'GET', '/', [HOST])).status, 502)
  const roomy = await gateway(t, { upstream: target, fastify: { http: { maxHeaderSize: 65_536 } } })
  t.equal((await request(roomy.port, 'GET', '/', [HOST])).status, 200)
})

t.test('a connection that no request uses is closed, but not while one may use it', async t => {
  const target = await socketServer(t, () => {})
  let asked = 0
  const socket = connect(Number(new URL(target).port), '127.0.0.1')
  closeIfUnused(socket, () => ++asked < 2)
  await until(() => asked === 1)
  t.notOk(socket.destroyed)
  await once(socket, 'close')
  t.equal(asked, 2)
})

t.test('an error without facts about its socket says of no connection that it was kept', async t => {
  const client = await createClient({ origin: 'http://127.0.0.1:5000', host: '127.0.0.1:5000', path: '', headersTimeout: 0, ca: undefined }, 16384)
  t.teardown(() => client.close())
  for (const error of [new Error('unknown'), new errors.SocketError('closed')]) t.equal(client.wasKept(error), false)
})
