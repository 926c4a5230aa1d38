// A real MLflow server behind engines that ask `authorize`: the Python client, the UI in Chromium, an attacker's page, and the
// audit. MLFLOW_VENV and ENGINES_VENV name Python environments with `mlflow` and with the engines, CHROMIUM the browser.
import type { Browser } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { LAN, launchBrowser } from '../fixtures/chromium.js'
import { engines, startAuthorize, startEngine } from '../fixtures/engines.js'
import { runClient, startMlflow, useUi, visit } from '../fixtures/mlflow.js'
import { run } from '../fixtures/programs.js'

let browser: Browser
t.before(async () => { browser = await launchBrowser() })
t.teardown(() => browser.close())

async function attack (t: Test, port: number): Promise<void> {
  // As if the attacker had served the page before the name was bound anew: our refusal's own policy would hold it.
  const { page, failed } = await visit(t, browser, `http://rebound.test:${port}/`, { bypassCSP: true })
  t.same(failed, ['403 GET /'], 'a rebound page is not served')
  t.match(await page.textContent('body'), /rebound\.test/, 'what the browser shows names what is missing')
  const status = await page.evaluate(async () => (await fetch('/ajax-api/2.0/mlflow/experiments/create', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"attack"}'
  })).status)
  t.equal(status, 403, 'and changes nothing')
}

t.test('MLflow behind an engine that asks authorize', async t => {
  // One server for all engines, as docs/engines.md starts it: its own checks are on.
  const { port: upstream } = await startMlflow(t, ['--workers', '1'])
  // The two that differ most; test/engines has all five, in front of a server in MLflow's place.
  for (const engine of [engines.nginx, engines.traefik]) {
    await t.test(engine.name, async t => {
      const authorize = await startAuthorize(t, engine, [])
      const port = await startEngine(t, engine, { authorize: authorize.port, upstream })
      const logged = await runClient(`http://localhost:${port}`, 'otlp')
      t.match(logged.run, /^[0-9a-f]{32}$/, 'the Python client: experiment, run, traces, OTLP, 100 MB up and down')
      await useUi(t, browser, `http://${LAN}:${port}`, logged)
      await attack(t, port)
      const { code, out } = await run(t, ['audit', `http://${LAN}:${port}`, '--connect', '127.0.0.1'])
      t.equal(code, 0, `the audit finds no gap: ${out}`)
    })
  }
  const names = await (await fetch(`http://127.0.0.1:${upstream}/api/2.0/mlflow/experiments/search?max_results=100`)).text()
  t.match(names, '"client-', 'what the client has created is there')
  t.notMatch(names, '"attack"', 'what the attacker would have created is not')
})
