import { once } from 'node:events'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import websocket from '@fastify/websocket'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { createApp, listen, upgrade } from '../fixtures/server.js'
import { until } from '../fixtures/until.js'

const LOCALHOST = ['Host', 'localhost'] as const
const EVIL = ['Host', 'evil.com'] as const

t.test('@fastify/websocket: a foreign page gets no socket', async t => {
  const { app } = createApp(t)
  app.register(mlflowSecurity)
  app.register(websocket)
  app.register(async app => { app.get('/ws', { websocket: true }, () => {}) })
  const port = await listen(app)
  t.equal(await upgrade(port, '/ws', [LOCALHOST, ['Origin', 'http://localhost']]), 101)
  t.equal(await upgrade(port, '/ws', [LOCALHOST]), 101)
  t.equal(await upgrade(port, '/ws', [LOCALHOST, ['Origin', 'https://evil.com']]), 403)
  t.equal(await upgrade(port, '/ws', [EVIL, ['Origin', 'http://evil.com']]), 403)
  await app.close() // would wait for ever on the sockets of refused upgrades
  t.pass('refused WebSockets leave no socket behind')
})

t.test('a refused WebSocket is hung up on, even where its page never does', async t => {
  const { app } = createApp(t)
  app.register(mlflowSecurity)
  app.register(websocket)
  const port = await listen(app)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: evil.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await once(socket.resume(), 'end')
  await until(async () => await promisify(app.server.getConnections).call(app.server) === 0)
  t.pass('the server has no connection left')
})

t.test('a preflight that asks for an upgrade leaves no socket behind', async t => {
  const { app } = createApp(t)
  app.register(mlflowSecurity)
  app.register(websocket)
  app.register(async app => { app.get('/ws', { websocket: true }, () => {}) })
  const port = await listen(app)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  socket.write('OPTIONS /ws HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:3000\r\nAccess-Control-Request-Method: GET\r\n' +
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 204 [^]*\r\nconnection: close\r\n/i)
  await once(socket, 'end')
  await app.close()
  t.pass('and keeps no server from closing')
})
