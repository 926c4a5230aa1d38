// The same job done by MLflow's own middleware: uvicorn and FastAPI with it and without it, Fastify with the plugin and
// without it, in turns.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import { show, spread, table, takeTurns, target } from '../harness.js'
import { freePort, reachable, start } from '../processes.js'

const SERVER = fileURLToPath(new URL('../mlflow_server.py', import.meta.url))
const VENV = process.env.MLFLOW_VENV ?? join(process.env.HOME ?? '', '.cache/fastify-mlflow-security/mlflow')

export async function run ({ rounds, full }) {
  const title = 'Beside MLflow\'s own middleware'
  if (!existsSync(join(VENV, 'bin/python'))) {
    return { title, text: ['Not measured: MLFLOW_VENV names no Python environment with `mlflow`.'], targets: [] }
  }
  const servers = {
    uvicorn: await startUvicorn(),
    'uvicorn, MLflow\'s middleware': await startUvicorn('protected'),
    Fastify: await start('bare'),
    'Fastify, this plugin': await start('ours')
  }
  const values = await takeTurns(
    Object.fromEntries(Object.entries(servers).map(([name, { url }]) => [name, () => cost(url, full ? 2 : 1)])),
    Math.min(rounds, full ? 7 : 5)
  )
  for (const server of Object.values(servers)) server.stop()

  const of = (one, base) => values[one].map((value, i) => value - values[base][i])
  const theirs = of('uvicorn, MLflow\'s middleware', 'uvicorn')
  const ours = of('Fastify, this plugin', 'Fastify')
  // Of medians: single rounds of so small a difference are mostly noise.
  const share = spread(ours).median / spread(theirs).median
  return {
    title,
    text: [
      'A GET of 20 runs as JSON, 20 connections (autocannon): microseconds a request, and what the protection adds to each. uvicorn\'s access log is ' +
      'off, Fastify\'s log is on.',
      table(['server', 'a request, µs', 'protection adds, µs'], [
        ['uvicorn + FastAPI', show(spread(values.uvicorn), 0), ''],
        ['with MLflow\'s middleware', show(spread(values['uvicorn, MLflow\'s middleware']), 0), show(spread(theirs), 1)],
        ['Fastify', show(spread(values.Fastify), 0), ''],
        ['with this plugin', show(spread(values['Fastify, this plugin']), 0), show(spread(ours), 1)]
      ]),
      'What the plugin adds here is at the edge of what can be told apart: two runs gave shares of 0.04 and 0.06.'
    ],
    targets: [target('added by this plugin : added by MLflow\'s middleware', share, 0.05)]
  }
}

async function startUvicorn (...protection) {
  const port = await freePort()
  const child = spawn(join(VENV, 'bin/python'), [SERVER, String(port), ...protection], { stdio: 'ignore' })
  await reachable(port)
  return { url: `http://127.0.0.1:${port}`, stop: () => child.kill() }
}

/** Microseconds a request. */
async function cost (url, duration) {
  const { requests: { average }, errors, '5xx': failed } = await autocannon({ url: `${url}/runs`, connections: 20, duration, headers: { host: 'localhost' } })
  if (errors > 0 || failed > 0) throw new Error(`${url}: ${errors} errors, ${failed} answers of 5xx`)
  return 1e6 / average
}
