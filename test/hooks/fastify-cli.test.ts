// The plugin where a tool registers it: fastify-cli, @fastify/autoload.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import autoload from '@fastify/autoload'
import t from 'tap'
import type { Test } from 'tap'
import mlflowSecurity from '../../lib/index.js'
import { ended, says, startNode } from '../fixtures/programs.js'
import type { Started } from '../fixtures/programs.js'
import { createApp, listen, request } from '../fixtures/server.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const HOST = ['Host', 'mlflow.company.com'] as const

/** @returns a function that starts an app with the plugin by fastify-cli, with further flags */
async function cli (t: Test): Promise<(...flags: string[]) => Started> {
  const file = join(t.testdir({}), 'app.mjs')
  writeFileSync(file, `
import mlflowSecurity from '${ROOT}dist/index.js'
export default async function app (fastify, options) {
  fastify.register(mlflowSecurity, options)
  fastify.get('/', async () => 'ok')
}`)
  // fastify-cli takes 0 for no port at all.
  const probe = createApp(t).app
  const free = await listen(probe)
  await probe.close()
  return (...flags) => startNode(t, [
    `${ROOT}node_modules/fastify-cli/cli.js`, 'start', file, '--address', '127.0.0.1', '--port', String(free), '--log-level', 'info', ...flags
  ])
}

t.test('fastify-cli: flags reach the plugin, and the whole server is protected', async t => {
  const start = await cli(t)
  const server = start('--', '--allowed-hosts', 'mlflow.company.com', '--allowed-hosts', 'localhost:*,10.*', '--x-frame-options', 'DENY', '--cors-allowed-origins', 'https://a')
  const [, text] = await says(server, /listening at [^"]*127\.0\.0\.1:(\d+)/)
  const port = Number(text)
  const host = (name: string) => [['Host', name]] as const
  t.match(await request(port, 'GET', '/', host('mlflow.company.com')), { status: 200, headers: { 'x-frame-options': 'DENY' } })
  t.equal((await request(port, 'GET', '/', host('10.1.1.1'))).status, 200)
  t.equal((await request(port, 'GET', '/', host('127.0.0.1'))).status, 403, 'an explicit list replaces the default')
  t.equal((await request(port, 'GET', '/nowhere', host('evil.com'))).status, 403, 'outside the plugin that fastify-cli wraps the app in')
  server.child.kill()
  await ended(server)

  const { code, out, err } = await ended(start('--', '--allowed-hosts'))
  t.equal(code, 1)
  t.match(out + err, /allowedHosts \(MLFLOW_SERVER_ALLOWED_HOSTS, --allowed-hosts\): true is a flag without a value/)
})

t.test("options of Fastify's own register are left alone", async t => {
  const { app } = createApp(t)
  await app.register(mlflowSecurity, { prefix: '/api', logLevel: 'warn', logSerializers: {}, allowedHosts: 'mlflow.company.com' })
  t.same(app.mlflowSecurity.settings.allowedHosts, ['mlflow.company.com'])
  t.notOk('prefix' in app.mlflowSecurity.settings)
})

t.test('@fastify/autoload: the plugin in a directory of plugins, with options for all of them', async t => {
  const dir = t.testdir({ plugins: {}, routes: { api: {} } })
  writeFileSync(join(dir, 'plugins', 'security.mjs'), `export { default } from '${ROOT}dist/index.js'\n`)
  writeFileSync(join(dir, 'routes', 'api', 'index.mjs'), 'export default async app => { app.get(\'/\', async () => \'ok\') }\n')
  const { app } = createApp(t)
  app.register(autoload, { dir: join(dir, 'plugins'), options: { prefix: '/v1', allowedHosts: 'mlflow.company.com', xFrameOptions: 'DENY' } })
  app.register(autoload, { dir: join(dir, 'routes') })
  const port = await listen(app)
  t.match(await request(port, 'GET', '/api', [HOST]), { status: 200, headers: { 'x-frame-options': 'DENY' } })
  t.equal((await request(port, 'GET', '/api', [['Host', 'evil.com']])).status, 403)
})

t.test('fastify start --prefix', async t => {
  const server = (await cli(t))('--prefix', '/mlflow', '--', '--allowed-hosts', 'mlflow.company.com')
  const [, text] = await says(server, /listening at [^"]*127\.0\.0\.1:(\d+)/)
  t.match(await request(Number(text), 'GET', '/mlflow', [HOST]), { status: 200, body: 'ok', headers: { 'x-frame-options': 'SAMEORIGIN' } })
  t.equal((await request(Number(text), 'GET', '/mlflow', [['Host', 'evil.com']])).status, 403)
  t.equal((await request(Number(text), 'GET', '/', [['Host', 'evil.com']])).status, 403, 'outside the prefix as well')
  server.child.kill()
  await ended(server)
})
