// The audit of real MLflow servers: alone, by gunicorn, with security off, behind nginx as people configure it, and behind the
// gateway. MLFLOW_VENV names a Python environment with `mlflow` in it; nginx has to be installed.
import { execFileSync } from 'node:child_process'
import t from 'tap'
import type { Test } from 'tap'
import { findings, ids } from '../fixtures/audit.js'
import { startGateway, startMlflow, venv } from '../fixtures/mlflow.js'
import { freePort } from '../fixtures/free-port.js'
import { startNginx } from '../fixtures/nginx.js'

/** How people on the network call the server; the connection goes to the loopback address. */
const LAN = '192.168.1.20'
const NAME = 'mlflow.lan'
const [, minor] = execFileSync(venv('python'), ['-c', 'import importlib.metadata; print(importlib.metadata.version("mlflow"))'], { encoding: 'utf8' }).split('.')
/** MLflow 3.18 compares addresses as addresses; before, `10.evil.com` passed for one. */
const OCTETS = Number(minor) < 18 ? ['octets-host'] : []

/** @param inside - what stands in the server's block, the place of the upstream written as UPSTREAM */
async function nginx (t: Test, upstream: number, inside: string): Promise<number> {
  const port = await freePort()
  await startNginx(t, port, `server { listen 127.0.0.1:${port}; ${inside.replaceAll('UPSTREAM', `http://127.0.0.1:${upstream}`)} }`)
  return port
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
  const { port } = await startMlflow(t, ['--workers', '1'])
  t.strictSame(await found('127.0.0.1', port), gaps(...OCTETS, 'malformed-host', 'refusal-headers'))
  t.strictSame(await found(LAN, port), gaps('own-page', ...OCTETS, 'malformed-host', 'refusal-headers'), 'mlflow/mlflow#22618')
  t.match(await found(NAME, port), { gap: ['own-address'], note: [], exitCode: 1 }, 'a name that it was not told')

  await t.test('nginx that passes no Host on lets every Host by', async t => {
    t.strictSame(await found(LAN, await nginx(t, port, 'location / { proxy_pass UPSTREAM; }')), gaps('own-page', 'foreign-host', 'refusal-headers'))
  })
  await t.test('nginx with $host and with $http_host: the gaps are those of MLflow', async t => {
    const withHost = await nginx(t, port, 'location / { proxy_pass UPSTREAM; proxy_set_header Host $host; }')
    t.strictSame(await found(LAN, withHost), gaps('own-page', ...OCTETS, 'malformed-host', 'refusal-headers'))
    const withHttpHost = await nginx(t, port, 'location / { proxy_pass UPSTREAM; proxy_set_header Host $http_host; }')
    t.strictSame(await found(LAN, withHttpHost), gaps('own-page', ...OCTETS, 'malformed-host', 'absolute-form', 'refusal-headers'))
  })
  await t.test('the gateway in front: no gap, with nginx before it neither', async t => {
    const gateway = await startGateway(t, port, ['--allowed-hosts', `@default,${NAME}`])
    for (const host of ['127.0.0.1', LAN, NAME]) t.strictSame(await found(host, gateway), NONE, host)
    const proxy = await nginx(t, gateway, 'location / { proxy_pass UPSTREAM; proxy_set_header Host $http_host; }')
    t.strictSame(await found(NAME, proxy), { ...NONE, gap: ['absolute-form'], exitCode: 1 }, 'nginx takes the host out of the request line')
  })
})

t.test('what the report says closes a gap does close it', async t => {
  const port = await freePort()
  const authority = `${LAN}:${port}`
  await startMlflow(t, ['--workers', '1', '--allowed-hosts', authority, '--cors-allowed-origins', `http://${authority}`], { port })
  t.strictSame(await found(LAN, port), gaps('refusal-headers'))
  // MLflow keeps localhost beside an explicit list.
  t.strictSame(await found(LAN, port, '--cors-allowed-origins', `http://${authority}`), gaps('unlisted-origin', 'unlisted-preflight', 'unlisted-read', 'refusal-headers'))
})

t.test('MLflow by gunicorn', async t => {
  const { port } = await startMlflow(t, ['--gunicorn-opts', '--workers 1 --threads 4'])
  t.strictSame(await found(LAN, port), gaps('own-page', ...OCTETS, 'malformed-host', 'absolute-form'))
})

t.test('MLflow with its security off, alone and behind a health route that is too wide', async t => {
  const { port } = await startMlflow(t, ['--workers', '1', '--disable-security-middleware'])
  t.strictSame(await found(LAN, port), open('foreign-host', ...OFF))
  const wide = await nginx(t, port, `location = /health { proxy_pass UPSTREAM; }
    location / { if ($http_host !~ "^${NAME}:[0-9]+$") { return 403; } proxy_pass UPSTREAM; }`)
  t.strictSame(await found(NAME, wide), open('absolute-form', 'health-exemption', ...OFF, 'refusal-headers'))
  const gateway = await startGateway(t, port)
  t.strictSame(await found(LAN, gateway), NONE)
})
