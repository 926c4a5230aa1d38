import { once } from 'node:events'
import t from 'tap'
import { freePort, isTaken, untilAnswering } from '../../../lib/cli/child/ports.js'

t.test('ports', async t => {
  const port = await freePort()
  t.equal(await isTaken(port), false)
  const { createServer } = await import('node:net')
  const sockets = new Set<{ destroy (): void }>()
  const server = createServer(socket => { sockets.add(socket) }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { for (const socket of sockets) socket.destroy(); server.close() })
  t.equal(await isTaken(port), true)
  t.equal(await untilAnswering(port, '/', AbortSignal.timeout(2500)), false, 'it is there, and says nothing')
})
