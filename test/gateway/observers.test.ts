import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { addMetrics } from '../../lib/gateway/metrics.js'
import { send } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'
import { prepared, upstream } from '../fixtures/upstream.js'

t.test('aborts, broken bodies and sockets are told to the log and to the figures', async t => {
  let isAsked = false
  const target = await upstream(t, (request, response) => {
    if (request.url === '/waits') isAsked = true
    if (request.url === '/breaks') {
      response.writeHead(200, { 'content-length': '100' }).write('begun')
      setTimeout(() => response.destroy(), 50)
    }
  })
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => sockets.close())
  await once(sockets, 'listening')
  let figures = async (): Promise<string> => ''
  const prepare = async (app: FastifyInstance) => { const registry = await addMetrics(app); figures = () => registry.metrics() }
  const { port, lines } = await prepared(t, { upstream: target }, prepare)
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await until(() => isAsked)
  socket.destroy()
  t.match(await send(port, 'GET /breaks HTTP/1.1\r\nHost: localhost\r\n\r\n'), /begun$/)
  await until(() => lines.some(({ msg }) => msg === 'the answer was not delivered whole'))
  t.match(lines.filter(({ url }) => url !== undefined), [
    { level: 30, method: 'GET', url: '/waits', statusCode: 499, msg: 'the client has hung up' },
    { level: 40, method: 'GET', url: '/breaks', msg: 'The answer of the upstream broke off' },
    { level: 30, method: 'GET', url: '/breaks', statusCode: 200, msg: 'the answer was not delivered whole' }
  ])
  t.match(await figures(), /status="499"\} 1[^]*status="200"\} 1/)

  const joining = await prepared(t, { upstream: `http://127.0.0.1:${(sockets.address() as AddressInfo).port}` }, prepare)
  const client = new WebSocket(`ws://127.0.0.1:${joining.port}/ws`)
  await once(client, 'open')
  client.close()
  await once(client, 'close')
  t.match(joining.lines.find(({ url }) => url === '/ws'), { level: 30, method: 'GET', statusCode: 101 })
  await until(async () => /status="101"\} 1/.test(await figures()))
  t.pass('the figures count it')
})
