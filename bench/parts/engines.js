// What the question costs: each engine with authorize beside the same engine without it and beside the gateway as a proxy, in
// turns (wrk). A short run has nginx alone; others by BENCH_ENGINES=nginx,caddy.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withoutQuestion } from '../without-question.js'
import { ratio, show, spread, table, takeTurns } from '../harness.js'
import { freePort, reachable, start } from '../processes.js'

const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))
const VENV = process.env.ENGINES_VENV ?? join(process.env.HOME ?? '', '.cache/fastify-mlflow-security/engines')
const LARGE = 50e6

/** How each is started. */
const ENGINES = {
  nginx: {
    dialect: 'nginx',
    command: folder => ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-g', `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;`]
  },
  caddy: {
    dialect: 'caddy',
    command: folder => ['caddy', 'run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile']
  },
  haproxy: {
    dialect: 'nginx',
    command: () => ['haproxy', '-f', 'haproxy.cfg']
  },
  traefik: {
    dialect: 'traefik',
    command: () => [join(VENV, 'bin/traefik'), '--configFile=traefik.yml']
  },
  envoy: {
    dialect: 'envoy',
    command: () => [join(VENV, 'bin/envoy'), '-c', 'envoy.yaml', '--disable-hot-restart', '--concurrency', '2', '--log-level', 'error']
  }
}

export async function run ({ rounds, full }) {
  const title = 'The question of an engine'
  if (spawnSync('wrk', ['--version']).error !== undefined) return { title, text: ['Not measured: `wrk` is not installed.'], targets: [] }
  const upstream = await start('upstream')
  const gateway = await start('gateway', upstream.url, 'warn') // as authorize logs
  const rows = []
  for (const name of (process.env.BENCH_ENGINES ?? (full ? Object.keys(ENGINES).join() : 'nginx')).split(',')) {
    const authorize = await startAuthorize(ENGINES[name].dialect)
    const asking = await startEngine(name, authorize.port, upstream.port, false)
    const plain = await startEngine(name, authorize.port, upstream.port, true)
    for (const [what, path, connections, measure] of [['small JSON', '/runs', 20, rate], ['50 MB, MB', `/blob?size=${LARGE}`, 4, megabytes]]) {
      const load = url => () => measure(`${url}${path}`, connections, 2)
      const variants = { asking: load(asking.url), plain: load(plain.url), gateway: load(gateway.url) }
      const values = await takeTurns(variants, Math.min(rounds, 3))
      const ratios = ['plain', 'gateway'].map(other => show(ratio(values, 'asking', other)))
      rows.push([name, what, show(spread(values.asking), 0), ...ratios])
    }
    for (const { stop } of [asking, plain, authorize]) stop()
  }
  for (const { stop } of [gateway, upstream]) stop()
  return {
    title,
    text: [
      'Requests and megabytes a second (wrk): an engine that asks `authorize`, as a ratio to the same engine without the question, and to the gateway as a proxy. ' +
      'All of them, the upstream and wrk share the machine.',
      table(['engine', 'answer', 'a second', 'to the engine alone', 'to the gateway'], rows)
    ],
    targets: []
  }
}

async function startAuthorize (dialect) {
  const port = await freePort()
  const child = spawn(process.execPath, [CLI, 'authorize', '--dialect', dialect, '--port', String(port), '--log-level', 'warn'], { stdio: 'ignore' })
  await reachable(port)
  return { port, stop: () => child.kill() }
}

/** @param isSilent - without its question */
async function startEngine (name, authorize, upstream, isSilent) {
  const { command } = ENGINES[name]
  const folder = mkdtempSync(join(tmpdir(), `${name}-`))
  const port = await freePort()
  const ports = { 8080: port, 8081: authorize, 5000: upstream }
  cpSync(fileURLToPath(new URL(`../../examples/engines/${name}`, import.meta.url)), folder, { recursive: true })
  for (const file of readdirSync(folder)) {
    const text = readFileSync(join(folder, file), 'utf8').replace(/\b(8080|8081|5000)\b/g, own => String(ports[own]))
    const changed = isSilent ? withoutQuestion(name, text) : text
    writeFileSync(join(folder, file), name === 'nginx' ? changed.replace('http {', 'http { access_log off; keepalive_requests 10000000;') : changed)
  }
  const [file, ...args] = command(folder)
  const child = spawn(file, args, { cwd: folder, stdio: 'ignore', env: { ...process.env, HOME: folder } })
  await reachable(port)
  const url = `http://127.0.0.1:${port}`
  for (let i = 0; i < 100 && (await fetch(`${url}/runs`)).status !== 200; i++) await new Promise(resolve => { setTimeout(resolve, 100) })
  if ((await fetch(`${url}/runs`)).status !== 200) throw new Error(`${name} does not answer`)
  return { url, stop: () => child.once('close', () => rmSync(folder, { recursive: true, force: true })).kill('SIGTERM') }
}

/** Requests a second. */
async function rate (...load) {
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(await wrk(...load))?.[1])
}

const UNITS = { B: 1e-6, KB: 1024 / 1e6, MB: 1024 ** 2 / 1e6, GB: 1024 ** 3 / 1e6 }

/** Megabytes a second: few bodies end within a short run. */
async function megabytes (...load) {
  const [, number, unit] = /Transfer\/sec:\s+([\d.]+)([KMG]?B)/.exec(await wrk(...load)) ?? []
  return Number(number) * UNITS[unit]
}

/** @returns what wrk has to say */
async function wrk (url, connections, seconds) {
  const child = spawn('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '30s', url])
  let out = ''
  child.stdout.setEncoding('utf8').on('data', chunk => { out += chunk })
  await new Promise(resolve => { child.once('close', resolve) })
  if (/Non-2xx/.test(out)) throw new Error(`${url}: ${out}`)
  return out
}
