// Real MLflow servers behind the command: the Python client, the UI in Chromium, and attackers. MLFLOW_VENV names a Python
// environment with `mlflow` in it, CHROMIUM the browser.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { LAN, launchBrowser } from '../fixtures/chromium.js'
import { createExperiment, runClient, startGateway, startMlflow, useUi, visit } from '../fixtures/mlflow.js'

const REBOUND = 'rebound.test'

let browser: Browser
t.before(async () => { browser = await launchBrowser() })
t.teardown(() => browser.close())

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
  const rebound = await visit(t, browser, `http://${REBOUND}:${port}${prefix}/`, { bypassCSP: true })
  t.same(rebound.failed, [`403 GET ${prefix}/`], 'a rebound page is not served')
  t.equal(await ask(rebound.page, create, 'POST'), 403, 'and changes nothing')
  const foreign = await visit(t, browser, `http://evil.test:${await site(t)}/`)
  t.equal(await ask(foreign.page, `http://localhost:${port}${create}`, 'POST'), 'nothing', 'a foreign page changes nothing')
  t.equal(await ask(foreign.page, `http://localhost:${port}${prefix}/ajax-api/2.0/mlflow/experiments/search?max_results=1`, 'GET'), 'nothing', 'and reads nothing')
  const names = await (await fetch(`http://127.0.0.1:${port}${prefix}/api/2.0/mlflow/experiments/search?max_results=100`)).text()
  t.notMatch(names, '"attack"', 'no experiment of theirs is there')
}

type Server = [name: string, args: readonly string[], prefix: string, otlp: 'otlp' | 'no-otlp', more?: (t: Test, mlflow: number, gateway: number) => Promise<void>]

const servers: Server[] = [
  ['uvicorn', ['--workers', '1'], '', 'otlp', async (t, mlflow, gateway) => {
    await t.test('what MLflow does without the gateway on a LAN address: its own UI is refused', t => refusedUi(t, mlflow))
    await t.test('a foreign page embeds the trace renderer of notebooks, and not the UI', t => frames(t, mlflow, gateway))
  }],
  ['gunicorn', ['--gunicorn-opts', '--workers 2 --threads 4'], '', 'no-otlp'],
  ['a static prefix', ['--workers', '1', '--static-prefix', '/mlflow'], '/mlflow', 'otlp']
]

for (const [name, args, prefix, otlp, more] of servers) {
  t.test(`MLflow by ${name}, behind the command`, async t => {
    const { port: mlflow } = await startMlflow(t, args, { prefix })
    const port = await startGateway(t, mlflow, prefix === '' ? [] : ['--static-prefix', prefix])
    const logged = await runClient(`http://localhost:${port}${prefix}`, otlp)
    t.match(logged.run, /^[0-9a-f]{32}$/, 'the Python client: experiment, run, traces, OTLP, 100 MB up and down')
    await useUi(t, browser, `http://localhost:${port}${prefix}`, logged)
    await useUi(t, browser, `http://${LAN}:${port}${prefix}`, logged)
    await attack(t, port, prefix)
    for (const path of ['/health', '/version']) {
      const { page } = await visit(t, browser, `http://${REBOUND}:${port}${prefix}${path}`)
      t.equal(await page.evaluate(async () => (await fetch(location.href)).status), 200, `probes pass: ${path}`)
    }
    await more?.(t, mlflow, port)
  })
}

async function refusedUi (t: Test, mlflow: number): Promise<void> {
  const { page, failed } = await visit(t, browser, `http://${LAN}:${mlflow}/#/experiments`)
  t.equal(await createExperiment(page, 'clicked'), 403, 'mlflow/mlflow#22618')
  t.match(failed, ['403 POST /ajax-api/2.0/mlflow/experiments/create'])
}

async function frames (t: Test, mlflow: number, port: number): Promise<void> {
  const open = await startGateway(t, mlflow, ['--disable-security-middleware'])
  const renderer = '/static-files/lib/notebook-trace-renderer/index.html?trace_id=tr-1'
  for (const [gateway, path, expected] of [[port, renderer, true], [port, '/', false], [open, renderer, true]] as const) {
    const url = `http://localhost:${gateway}${path}`
    const { page } = await visit(t, browser, `http://notebook.test:${await site(t, `<!doctype html><iframe src="${url}"></iframe>`)}/`)
    const frame = page.frames().find(candidate => candidate !== page.mainFrame())
    const isShown = frame !== undefined && frame.url() === url
    t.equal(isShown, expected, `${path} ${isShown ? 'is' : 'is not'} shown`)
  }
}
