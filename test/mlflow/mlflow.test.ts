// Real MLflow servers behind the command: the Python client, the UI in Chromium, and attackers. MLFLOW_VENV names a Python
// environment with `mlflow` in it, CHROMIUM the browser.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { LAN, launchBrowser } from '../fixtures/chromium.js'
import { listening } from '../fixtures/programs.js'

const VENV = process.env.MLFLOW_VENV ?? join(process.env.HOME ?? '', '.cache/fastify-mlflow-security/mlflow')
const CLIENT = fileURLToPath(new URL('client.py', import.meta.url))
const REBOUND = 'rebound.test'

let browser: Browser
t.before(async () => { browser = await launchBrowser() })
t.teardown(() => browser.close())

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** An MLflow server with a store of its own. */
async function startMlflow (t: Test, args: readonly string[], prefix: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'mlflow-'))
  const port = await freePort()
  const child = spawn(join(VENV, 'bin/mlflow'), [
    'server', '--host', '127.0.0.1', '--port', String(port), '--backend-store-uri', `sqlite:///${folder}/mlflow.db`,
    '--artifacts-destination', join(folder, 'artifacts'), ...args
  ], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', chunk => { said += chunk })
  t.teardown(async () => {
    process.kill(-(child.pid ?? 0), 'SIGKILL') // its workers with it
    await once(child, 'close')
    rmSync(folder, { recursive: true, force: true })
  })
  const until = Date.now() + 180_000
  while (Date.now() < until && child.exitCode === null) {
    const response = await fetch(`http://127.0.0.1:${port}${prefix}/health`).catch(() => undefined)
    if (response?.status === 200) return port
    await wait(500)
  }
  throw new Error(`MLflow does not answer: ${said}`)
}

/** The command in front of it. */
async function startGateway (t: Test, upstream: number, args: readonly string[] = []): Promise<number> {
  const { port } = await listening(t, ['--upstream', `http://127.0.0.1:${upstream}`, ...args])
  return port
}

interface Logged { readonly experiment: string, readonly name: string, readonly run: string }

async function runClient (uri: string, otlp: 'otlp' | 'no-otlp'): Promise<Logged> {
  const child = spawn(join(VENV, 'bin/python'), [CLIENT, uri, otlp], { env: { ...process.env, MLFLOW_TRACKING_URI: '' } })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', chunk => { out += chunk })
  child.stderr.setEncoding('utf8').on('data', chunk => { err += chunk })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`The client failed: ${err}`)
  return JSON.parse(out.trim().split('\n').at(-1) ?? '')
}

interface Visit { readonly page: Page, readonly failed: string[] }

/** A page, and the requests that were refused or failed on it. */
async function visit (t: Test, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const failed: string[] = []
  page.on('response', response => {
    const status = response.status()
    if (status === 403 || status >= 500) failed.push(`${status} ${response.request().method()} ${new URL(response.url()).pathname}`)
  })
  await page.goto(url)
  return { page, failed }
}

/** Clicks "Create", gives a name, and waits for the server's answer. */
async function createExperiment (page: Page, name: string): Promise<number> {
  await page.getByTestId('create-experiment-button').click()
  const dialog = page.getByRole('dialog')
  await dialog.getByPlaceholder('Input an experiment name').fill(name)
  const answer = page.waitForResponse(response => response.url().endsWith('/experiments/create'))
  await dialog.getByRole('button', { name: 'Create' }).click()
  return (await answer).status()
}

async function useUi (t: Test, base: string, { experiment, name, run }: Logged): Promise<void> {
  const { page, failed } = await visit(t, `${base}/#/experiments`)
  await page.getByText(name).first().waitFor()
  t.equal(await createExperiment(page, `clicked-${Date.now()}`), 200, 'an experiment is created by clicking')
  await page.waitForURL(/#\/experiments\/\d+/)
  await page.goto(`${base}/#/experiments/${experiment}/runs/${run}`)
  await page.getByText('x y/ä').first().waitFor()
  t.same(failed, [], `nothing is refused, nothing fails: ${base}`)
}

/** Another site's page. */
async function site (t: Test, html = '<!doctype html><title>attacker</title>'): Promise<number> {
  const server = createServer((_request, response) => { response.setHeader('content-type', 'text/html').end(html) })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return (server.address() as AddressInfo).port
}

/** What a page gets of a URL: a status, or nothing. */
function ask (page: Page, url: string, method: 'GET' | 'POST'): Promise<number | 'nothing'> {
  return page.evaluate(async ([url, method]) => {
    const init = method === 'POST' ? { method, headers: { 'content-type': 'application/json' }, body: '{"name":"attack"}' } : {}
    try { return (await fetch(url, init)).status } catch { return 'nothing' as const }
  }, [url, method] as const)
}

async function attack (t: Test, port: number, prefix: string): Promise<void> {
  const create = `${prefix}/ajax-api/2.0/mlflow/experiments/create`
  // A page that the attacker served before the name was bound anew has no policy of ours: without bypassCSP, the page of
  // our own refusal could ask nothing.
  const rebound = await visit(t, `http://${REBOUND}:${port}${prefix}/`, { bypassCSP: true })
  t.same(rebound.failed, [`403 GET ${prefix}/`], 'a rebound page is not served')
  t.equal(await ask(rebound.page, create, 'POST'), 403, 'and changes nothing')
  const foreign = await visit(t, `http://evil.test:${await site(t)}/`)
  t.equal(await ask(foreign.page, `http://localhost:${port}${create}`, 'POST'), 'nothing', 'a foreign page changes nothing')
  t.equal(await ask(foreign.page, `http://localhost:${port}${prefix}/ajax-api/2.0/mlflow/experiments/search?max_results=1`, 'GET'), 'nothing', 'and reads nothing')
  const names = await (await fetch(`http://127.0.0.1:${port}${prefix}/api/2.0/mlflow/experiments/search?max_results=100`)).text()
  t.notMatch(names, '"attack"', 'no experiment of theirs is there')
}

const servers: Array<[name: string, args: readonly string[], prefix: string, otlp: 'otlp' | 'no-otlp']> = [
  ['uvicorn', ['--workers', '1'], '', 'otlp'],
  ['gunicorn', ['--gunicorn-opts', '--workers 2 --threads 4'], '', 'no-otlp'],
  ['a static prefix', ['--workers', '1', '--static-prefix', '/mlflow'], '/mlflow', 'otlp']
]

for (const [name, args, prefix, otlp] of servers) {
  t.test(`MLflow by ${name}, behind the command`, async t => {
    const mlflow = await startMlflow(t, args, prefix)
    const port = await startGateway(t, mlflow, prefix === '' ? [] : ['--static-prefix', prefix])
    const logged = await runClient(`http://localhost:${port}${prefix}`, otlp)
    t.ok(logged.run, 'the Python client: experiment, run, traces, OTLP, 100 MB up and down')
    await useUi(t, `http://localhost:${port}${prefix}`, logged)
    await useUi(t, `http://${LAN}:${port}${prefix}`, logged)
    await attack(t, port, prefix)
    for (const path of ['/health', '/version']) {
      const { status } = await (await visit(t, `http://${REBOUND}:${port}${prefix}${path}`)).page.evaluate(async () => ({ status: (await fetch(location.href)).status }))
      t.equal(status, 200, `probes pass: ${path}`)
    }
  })
}

t.test('what MLflow does without the gateway on a LAN address: its own UI is refused', async t => {
  const mlflow = await startMlflow(t, ['--workers', '1'], '')
  const { page, failed } = await visit(t, `http://${LAN}:${mlflow}/#/experiments`)
  t.equal(await createExperiment(page, 'clicked'), 403, 'mlflow/mlflow#22618')
  t.match(failed, ['403 POST /ajax-api/2.0/mlflow/experiments/create'])
})

t.test('a foreign page embeds the trace renderer of notebooks, and not the UI', async t => {
  const mlflow = await startMlflow(t, ['--workers', '1'], '')
  const port = await startGateway(t, mlflow)
  const open = await startGateway(t, mlflow, ['--disable-security-middleware'])
  const renderer = '/static-files/lib/notebook-trace-renderer/index.html?trace_id=tr-1'
  for (const [gateway, path, expected] of [[port, renderer, true], [port, '/', false], [open, renderer, true]] as const) {
    const url = `http://localhost:${gateway}${path}`
    const { page } = await visit(t, `http://notebook.test:${await site(t, `<!doctype html><iframe src="${url}"></iframe>`)}/`)
    const frame = page.frames().find(candidate => candidate !== page.mainFrame())
    const isShown = frame !== undefined && frame.url() === url
    t.equal(isShown, expected, `${path} ${isShown ? 'is' : 'is not'} shown`)
  }
})
