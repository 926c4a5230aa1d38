// A real MLflow server behind engines that ask `authorize`: the Python client, the UI in Chromium, an attacker's page, and the
// audit. MLFLOW_VENV and ENGINES_VENV name Python environments with `mlflow` and with the engines, CHROMIUM the browser.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { LAN, launchBrowser } from '../fixtures/chromium.js'
import { engines, freePort, startAuthorize, startEngine } from '../fixtures/engines.js'
import { run } from '../fixtures/programs.js'

const VENV = process.env.MLFLOW_VENV ?? join(process.env.HOME ?? '', '.cache/fastify-mlflow-security/mlflow')
const CLIENT = fileURLToPath(new URL('client.py', import.meta.url))

let browser: Browser
t.before(async () => { browser = await launchBrowser() })
t.teardown(() => browser.close())

/** One MLflow server for all engines, as docs/engines.md starts it: its own checks are on. */
async function startMlflow (t: Test): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'mlflow-'))
  const port = await freePort()
  const child = spawn(join(VENV, 'bin/mlflow'), [
    'server', '--host', '127.0.0.1', '--port', String(port), '--workers', '1', '--backend-store-uri', `sqlite:///${folder}/mlflow.db`,
    '--artifacts-destination', join(folder, 'artifacts')
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
    const response = await fetch(`http://127.0.0.1:${port}/ajax-api/2.0/mlflow/experiments/search?max_results=1`).catch(() => undefined)
    if (response?.status === 200) return port
    await wait(250)
  }
  throw new Error(`MLflow does not answer: ${said}`)
}

interface Logged { readonly experiment: string, readonly name: string, readonly run: string }

async function runClient (uri: string): Promise<Logged> {
  const child = spawn(join(VENV, 'bin/python'), [CLIENT, uri, 'otlp'], { env: { ...process.env, MLFLOW_TRACKING_URI: '' } })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', chunk => { out += chunk })
  child.stderr.setEncoding('utf8').on('data', chunk => { err += chunk })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`The client failed: ${err}`)
  return JSON.parse(out.trim().split('\n').at(-1) ?? '')
}

/** Opens a page, and notes what of it is refused or fails. */
async function visit (t: Test, url: string): Promise<{ readonly page: Page, readonly failed: string[] }> {
  // As if the attacker had served the page before the name was bound anew: our refusal's own policy would hold it.
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, bypassCSP: true })
  t.teardown(() => context.close())
  context.setDefaultTimeout(120_000) // MLflow's UI on a busy machine
  const page = await context.newPage()
  const failed: string[] = []
  page.on('response', response => {
    const status = response.status()
    if (status === 403 || status >= 500) failed.push(`${status} ${response.request().method()} ${new URL(response.url()).pathname}`)
  })
  await page.goto(url)
  return { page, failed }
}

async function useUi (t: Test, base: string, { experiment, name, run }: Logged): Promise<void> {
  const { page, failed } = await visit(t, `${base}/#/experiments`)
  await page.getByText(name).first().waitFor()
  await page.getByTestId('create-experiment-button').click()
  const dialog = page.getByRole('dialog')
  await dialog.getByPlaceholder('Input an experiment name').fill(`clicked-${Date.now()}`)
  const answer = page.waitForResponse(response => response.url().endsWith('/experiments/create'))
  await dialog.getByRole('button', { name: 'Create' }).click()
  t.equal((await answer).status(), 200, 'an experiment is created by clicking')
  await page.waitForURL(/#\/experiments\/\d+/)
  await page.goto(`${base}/#/experiments/${experiment}/runs/${run}`)
  await page.getByText('x y/ä').first().waitFor()
  t.same(failed, [], `nothing is refused, nothing fails: ${base}`)
}

async function attack (t: Test, port: number): Promise<void> {
  const { page, failed } = await visit(t, `http://rebound.test:${port}/`)
  t.same(failed, ['403 GET /'], 'a rebound page is not served')
  t.match(await page.textContent('body'), /rebound\.test/, 'what the browser shows names what is missing')
  const status = await page.evaluate(async () => (await fetch('/ajax-api/2.0/mlflow/experiments/create', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"attack"}'
  })).status)
  t.equal(status, 403, 'and changes nothing')
}

t.test('MLflow behind an engine that asks authorize', async t => {
  const upstream = await startMlflow(t)
  // The two that differ most; test/engines has all five, in front of a server in MLflow's place.
  for (const engine of [engines.nginx, engines.traefik]) {
    await t.test(engine.name, async t => {
      const authorize = await startAuthorize(t, engine, [])
      const port = await startEngine(t, engine, { authorize: authorize.port, upstream })
      const logged = await runClient(`http://localhost:${port}`)
      t.ok(logged.run, 'the Python client: experiment, run, traces, OTLP, 100 MB up and down')
      await useUi(t, `http://${LAN}:${port}`, logged)
      await attack(t, port)
      const { code, out } = await run(t, ['audit', `http://${LAN}:${port}`, '--connect', '127.0.0.1'])
      t.equal(code, 0, `the audit finds no gap: ${out}`)
    })
  }
  const names = await (await fetch(`http://127.0.0.1:${upstream}/api/2.0/mlflow/experiments/search?max_results=100`)).text()
  t.match(names, '"client-', 'what the client has created is there')
  t.notMatch(names, '"attack"', 'what the attacker would have created is not')
})
