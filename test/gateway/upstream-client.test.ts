import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import type { Dispatcher } from 'undici'
import { createClient } from '../../lib/gateway/upstream-client.js'
import { certificate } from '../fixtures/upstream.js'

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
