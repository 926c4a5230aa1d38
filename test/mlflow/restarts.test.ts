// gunicorn ends its workers after so many requests (--max-requests), and with them the connections that they keep. MLFLOW_VENV names a
// Python environment with gunicorn in it; nginx has to be installed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { startGateway, venv } from '../fixtures/mlflow.js'
import { freePort } from '../fixtures/free-port.js'
import { untilListening } from '../fixtures/listens.js'
import { startNginx } from '../fixtures/nginx.js'

const REQUESTS = 1200
const CLIENTS = 16

/** A small app by gunicorn, whose workers end after sixty requests each. It starts faster than MLflow, and so ends more often. */
async function startGunicorn (t: Test): Promise<{ port: number, workers: () => number }> {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  const port = await freePort()
  const child = spawn(venv('gunicorn'), [
    '--workers', '2', '--threads', '4', '--max-requests', '60', '--bind', `127.0.0.1:${port}`, '--chdir', folder, 'small_app:app'
  ], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', chunk => { said += chunk })
  const end = once(child, 'close')
  t.teardown(async () => { child.kill('SIGTERM'); await end })
  await untilListening(port, { name: 'gunicorn', child, said: () => said })
  return { port, workers: () => said.match(/Booting worker/g)?.length ?? 0 }
}

function ask (agent: Agent, port: number, method: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ agent, port, host: '127.0.0.1', method, path: '/', headers: { host: 'localhost', 'content-type': 'application/json' } })
    outgoing.once('error', reject).once('response', response => { response.resume().once('end', () => resolve(response.statusCode ?? 0)) })
    outgoing.end(method === 'POST' ? '{"a":1}' : undefined)
  })
}

/** @returns how many answers there were of each status */
async function load (port: number, method: string): Promise<Record<number, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
  const counts: Record<number, number> = {}
  let left = REQUESTS
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (left-- > 0) {
      const status = await ask(agent, port, method)
      counts[status] = (counts[status] ?? 0) + 1
    }
  }))
  agent.destroy()
  return counts
}

t.test('workers that end under load cost no read, and writes only as with nginx that keeps connections', async t => {
  const { port, workers } = await startGunicorn(t)
  const gateway = await startGateway(t, port)
  const nginx = await freePort()
  await startNginx(t, nginx, `
    upstream kept { server 127.0.0.1:${port}; keepalive 16; }
    server { listen 127.0.0.1:${nginx}; location / { proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection ''; } }`)
  const before = workers()
  t.same(await load(gateway, 'GET'), { 200: REQUESTS }, 'a read is sent again')
  t.ok(workers() - before > 10, 'workers have ended meanwhile')
  const { 200: served = 0, 502: failed = 0 } = await load(gateway, 'POST')
  const { 502: failedWithNginx = 0 } = await load(nginx, 'POST')
  t.equal(served + failed, REQUESTS)
  t.ok(failed <= 3 * failedWithNginx + 10, `${failed} writes failed, ${failedWithNginx} with nginx: nobody may send them twice`)
})
