// What floods of requests leave behind.
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { ended, startNode } from '../fixtures/programs.js'
import { CREATE_RUN, createApp, createServer, listen, request } from '../fixtures/server.js'

const POST = `POST ${CREATE_RUN} HTTP/1.1\r\n`

t.test('a million distinct Hosts and Origins leave nothing behind', async t => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { allowedHosts: '*.company.com', corsAllowedOrigins: 'https://*.company.com' })
  const { inspect } = app.mlflowSecurity
  const flood = (from: number) => {
    for (let i = from; i < from + 500_000; i++) {
      inspect({ method: 'POST', url: '/', headers: { host: `h${i}.company.com`, origin: `https://o${i}.company.com` } })
      inspect({ method: 'POST', url: '/', headers: { host: `h${i}.evil.com`, origin: `https://o${i}.evil.com` } })
    }
  }
  flood(0)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  flood(500_000)
  collectGarbage()
  const growth = process.memoryUsage().heapUsed - before
  t.ok(growth < 5_000_000, `the heap grew by ${growth} bytes`)
})

t.test('a thousand X-Forwarded-Host of 15 kB each leave nothing behind', { timeout: 120_000 }, async t => {
  const program = fileURLToPath(new URL('../fixtures/long-headers.ts', import.meta.url))
  const { code, out, err } = await ended(startNode(t, [...process.execArgv, '--expose-gc', program]))
  t.equal(code, 0, err)
  t.match(JSON.parse(out), { allowed: 940, refused: 100 })
  const { growth } = JSON.parse(out)
  t.ok(growth < 5_000_000, `the heap grew by ${growth} bytes`)
})

t.test('ten thousand aborted sockets: the next request is served, and the server closes', { timeout: 120_000 }, async t => {
  const { app } = createServer(t)
  const port = await listen(app)
  const abort = (text: string) => new Promise<void>(resolve => {
    const socket = connect(port, '127.0.0.1', () => { socket.write(text, () => { socket.resetAndDestroy() }) })
    socket.on('error', () => {}).on('close', () => resolve())
  })
  const texts = ['GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n', `${POST}Host: localhost\r\nContent-Length: 100\r\n\r\n`, 'GET / HT']
  for (let i = 0; i < 10_000; i += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, j) => abort(texts[(i + j) % texts.length] ?? '')))
  }
  t.equal((await request(port, 'GET', '/', [['Host', 'localhost']])).status, 200)
  await app.close()
  t.pass('closed')
})
