// The audit of real MLflow servers: alone, by gunicorn, with security off, behind nginx as people configure it, and behind the
// gateway. MLFLOW_VENV names a Python environment with `mlflow` in it; nginx has to be installed.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { findings, ids } from '../fixtures/audit.js'
import { listening } from '../fixtures/programs.js'

const VENV = process.env.MLFLOW_VENV ?? join(process.env.HOME ?? '', '.cache/fastify-mlflow-security/mlflow')
/** How people on the network call the server; the connection goes to the loopback address. */
const LAN = '192.168.1.20'
const NAME = 'mlflow.lan'

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** By a path that asks the store: the first such request can take long. */
async function answers (port: number, path: string, child: ChildProcess, said: () => string): Promise<void> {
  const until = Date.now() + 180_000
  while (Date.now() < until && child.exitCode === null) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined)
    if (response !== undefined && response.status < 500) return
    await wait(250)
  }
  throw new Error(`It does not answer: ${said()}`)
}

/** Starts a program in a process group of its own, in a folder of its own, until it answers. */
async function start (command: string, args: (folder: string) => readonly string[], port: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'))
  const child = spawn(command, args(folder), { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', chunk => { said += chunk })
  t.teardown(async () => {
    process.kill(-(child.pid ?? 0), signal)
    await once(child, 'close')
    rmSync(folder, { recursive: true, force: true })
  })
  await answers(port, '/ajax-api/2.0/mlflow/experiments/search?max_results=1', child, () => said)
  return port
}

async function mlflow (...flags: readonly string[]): Promise<number> {
  const port = await freePort()
  return await start(join(VENV, 'bin/mlflow'), folder => [
    'server', '--host', '127.0.0.1', '--port', String(port), '--backend-store-uri', `sqlite:///${folder}/mlflow.db`,
    '--artifacts-destination', join(folder, 'artifacts'), ...flags
  ], port, 'SIGKILL')
}

/** @param inside - what stands in the server's block, the place of the upstream written as UPSTREAM */
async function nginx (upstream: number, inside: string): Promise<number> {
  const port = await freePort()
  return await start('nginx', folder => {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`).join(' ')
    writeFileSync(join(folder, 'nginx.conf'), `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1; events {}
      http { access_log off; ${temporary} server { listen 127.0.0.1:${port}; ${inside.replaceAll('UPSTREAM', `http://127.0.0.1:${upstream}`)} } }`)
    return ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')]
  }, port, 'SIGTERM')
}

interface Found { readonly gap: string[], readonly inconclusive: string[], readonly note: string[], readonly exitCode: number }

async function found (host: string, port: number, ...flags: readonly string[]): Promise<Found> {
  const report = await findings(`http://${host}:${port}`, '--connect', '127.0.0.1', ...flags)
  return { gap: ids(report, 'gap'), inconclusive: ids(report, 'inconclusive'), note: ids(report, 'note'), exitCode: report.exitCode }
}

/** What is found in MLflow itself, or in what is in front of it and leaves the rest as it is. */
const gaps = (...gap: string[]): Found => ({ gap, inconclusive: [], note: ['fetch-metadata'], exitCode: 1 })
/** The same where MLflow's security is off. */
const open = (...gap: string[]): Found => ({ ...gaps(...gap), note: ['fetch-metadata', 'json-headers'] })
const NONE: Found = { gap: [], inconclusive: [], note: [], exitCode: 0 }
const OFF = ['foreign-origin', 'null-origin', 'look-alike-origin', 'frames', 'nosniff', 'not-found-headers']

t.test('MLflow by uvicorn, as it comes: the table of differences', async t => {
  const port = await mlflow('--workers', '1')
  t.strictSame(await found('127.0.0.1', port), gaps('octets-host', 'malformed-host', 'refusal-headers'))
  t.strictSame(await found(LAN, port), gaps('own-page', 'octets-host', 'malformed-host', 'refusal-headers'), 'mlflow/mlflow#22618')
  t.match(await found(NAME, port), { gap: ['own-address'], note: [], exitCode: 1 }, 'a name that it was not told')

  await t.test('nginx that passes no Host on lets every Host by', async t => {
    t.strictSame(await found(LAN, await nginx(port, 'location / { proxy_pass UPSTREAM; }')), gaps('own-page', 'foreign-host', 'refusal-headers'))
  })
  await t.test('nginx with $host and with $http_host: the gaps are those of MLflow', async t => {
    const withHost = await nginx(port, 'location / { proxy_pass UPSTREAM; proxy_set_header Host $host; }')
    t.strictSame(await found(LAN, withHost), gaps('own-page', 'octets-host', 'malformed-host', 'refusal-headers'))
    const withHttpHost = await nginx(port, 'location / { proxy_pass UPSTREAM; proxy_set_header Host $http_host; }')
    t.strictSame(await found(LAN, withHttpHost), gaps('own-page', 'octets-host', 'malformed-host', 'absolute-form', 'refusal-headers'))
  })
  await t.test('the gateway in front: no gap, with nginx before it neither', async t => {
    const gateway = await listening(t, ['--upstream', `http://127.0.0.1:${port}`, '--allowed-hosts', `@default,${NAME}`])
    for (const host of ['127.0.0.1', LAN, NAME]) t.strictSame(await found(host, gateway.port), NONE, host)
    const proxy = await nginx(gateway.port, 'location / { proxy_pass UPSTREAM; proxy_set_header Host $http_host; }')
    t.strictSame(await found(NAME, proxy), { ...NONE, gap: ['absolute-form'], exitCode: 1 }, 'nginx takes the host out of the request line')
  })
})

t.test('what the report says closes a gap does close it', async t => {
  const port = await freePort()
  const authority = `${LAN}:${port}`
  await start(join(VENV, 'bin/mlflow'), folder => [
    'server', '--host', '127.0.0.1', '--port', String(port), '--backend-store-uri', `sqlite:///${folder}/mlflow.db`, '--workers', '1',
    '--allowed-hosts', authority, '--cors-allowed-origins', `http://${authority}`
  ], port, 'SIGKILL')
  t.strictSame(await found(LAN, port), gaps('refusal-headers'))
  // MLflow keeps localhost beside an explicit list.
  t.strictSame(await found(LAN, port, '--cors-allowed-origins', `http://${authority}`), gaps('unlisted-origin', 'unlisted-preflight', 'unlisted-read', 'refusal-headers'))
})

t.test('MLflow by gunicorn', async t => {
  const port = await mlflow('--gunicorn-opts', '--workers 1 --threads 4')
  t.strictSame(await found(LAN, port), gaps('own-page', 'octets-host', 'malformed-host', 'absolute-form'))
})

t.test('MLflow with its security off, alone and behind a health route that is too wide', async t => {
  const port = await mlflow('--workers', '1', '--disable-security-middleware')
  t.strictSame(await found(LAN, port), open('foreign-host', ...OFF))
  const wide = await nginx(port, `location = /health { proxy_pass UPSTREAM; }
    location / { if ($http_host !~ "^${NAME}:[0-9]+$") { return 403; } proxy_pass UPSTREAM; }`)
  t.strictSame(await found(NAME, wide), open('absolute-form', 'health-exemption', ...OFF, 'refusal-headers'))
  const gateway = await listening(t, ['--upstream', `http://127.0.0.1:${port}`])
  t.strictSame(await found(LAN, gateway.port), NONE)
})
