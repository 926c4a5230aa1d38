import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { checkArguments, splitCommand } from '../../lib/cli/arguments.js'
import { readArguments } from '../../lib/cli/audit/command.js'
import { parseTarget } from '../../lib/cli/audit/target.js'
import { authorizeOptions } from '../../lib/cli/authorize/options.js'
import { parseChild } from '../../lib/cli/child/command.js'
import { aboutFlags, authorizeFlags, checkFlags, documentedFlags, serveFlags } from '../../lib/cli/flags.js'
import { serveOptions } from '../../lib/cli/options.js'
import { createGateway } from '../../lib/gateway.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import { commandLines } from '../fixtures/command-lines.js'
import { ended, says, startNode } from '../fixtures/programs.js'
import { request } from '../fixtures/server.js'
import { upstream } from '../fixtures/upstream.js'

const HOST = ['Host', 'localhost'] as const

const authorizerFlags = { ...documentedFlags, ...authorizeFlags, ...aboutFlags }

/** What each of the other commands does with its arguments before it begins. */
const SUBCOMMANDS: Readonly<Record<string, (args: string[]) => void>> = {
  check (args) { checkArguments(args, checkFlags) },
  authorize (args) {
    checkArguments(args, authorizerFlags)
    authorizeOptions(parseArgs({ args, options: authorizerFlags }).values, { logger: false })
  },
  audit (args) {
    const { urls: [url = ''], values } = readArguments(args)
    parseTarget(url, values.connect, values.header ?? [])
  }
}

t.test('every command line of the documentation and of the deployments is one that the command takes', async t => {
  const lines = commandLines()
  t.ok(lines.some(({ where }) => where.startsWith('docs/')), 'those of docs/ among them')
  for (const { where, args: all, environment } of lines) {
    const [args, command] = splitCommand(all)
    const readSubcommand = SUBCOMMANDS[args[0] ?? '']
    if (readSubcommand !== undefined) {
      t.doesNotThrow(() => readSubcommand(args.slice(1)), where)
      continue
    }
    if (command !== undefined) t.doesNotThrow(() => parseChild(command, {}), where)
    t.doesNotThrow(() => checkArguments(args, serveFlags), where)
    const { values } = parseArgs({ args, options: serveFlags })
    if (values.help === true || values.version === true) continue
    const { MLFLOW_TRACKING_URI = 'http://set.in.the.environment', ...settings } = environment
    if (values.cert !== undefined) continue // the files are not here
    const { options } = serveOptions(values, { logger: false })
    const app = createGateway({ ...options, upstream: options.upstream ?? MLFLOW_TRACKING_URI })
    await app.ready()
    t.ok(app.mlflowSecurity.settings, 'and whose settings are right')
    t.ok(resolveSettings({}, settings), 'those of its environment too')
    await app.close()
  }
})

const example = (t: Test, name: string, environment: Record<string, string>) =>
  startNode(t, [fileURLToPath(new URL(`../../examples/gateway/${name}`, import.meta.url))], { PORT: '0', ...environment })

async function run (t: Test, name: string, environment: Record<string, string>): Promise<number> {
  const [, port] = await says(example(t, name, environment), /Server listening at http:\/\/127\.0\.0\.1:(\d+)/)
  return Number(port)
}

t.test('the example with a login: asked for after the checks, kept from MLflow, not asked of probes', async t => {
  const target = await upstream(t, ({ headers }, response) => { response.end(`authorization: ${headers.authorization}`) })
  const { code } = await ended(example(t, 'basic-auth.js', { MLFLOW_TRACKING_URI: target }))
  t.equal(code, 1, 'no password, no gateway')
  const port = await run(t, 'basic-auth.js', { MLFLOW_TRACKING_URI: target, GATEWAY_USER: 'ada', GATEWAY_PASSWORD: 'secret' })
  const login = (text: string) => ['Authorization', `Basic ${Buffer.from(text).toString('base64')}`] as const
  t.match(await request(port, 'GET', '/', [HOST]), { status: 401, headers: { 'www-authenticate': 'Basic realm="MLflow"' } })
  for (const wrong of ['ada:wrong', 'eve:secret', ':']) t.equal((await request(port, 'GET', '/', [HOST, login(wrong)])).status, 401, wrong)
  t.match(await request(port, 'GET', '/', [HOST, login('ada:secret')]), { status: 200, body: 'authorization: undefined' })
  t.equal((await request(port, 'GET', '/', [['Host', 'evil.com'], login('ada:secret')])).status, 403)
  t.equal((await request(port, 'GET', '/health', [['Host', 'evil.com']])).status, 200)
  const preflight = [HOST, ['Origin', 'http://localhost:3000'], ['Access-Control-Request-Method', 'POST']] as const
  t.equal((await request(port, 'OPTIONS', '/', preflight)).status, 204, 'browsers send no login with a preflight')
})

t.test('the example with a rate limit', async t => {
  const target = await upstream(t, (_request, response) => { response.end('ok') })
  const port = await run(t, 'rate-limit.js', { MLFLOW_TRACKING_URI: target, MAX: '3' })
  const status = async (host: string) => (await request(port, 'GET', '/', [['Host', host]])).status
  t.equal(await status('evil.com'), 403)
  for (const expected of [200, 200, 200, 429]) t.equal(await status('localhost'), expected)
})

t.test('deployments give the gateway the time that it takes to end', async t => {
  const read = (path: string) => readFileSync(new URL(`../../examples/deploy/${path}`, import.meta.url), 'utf8')
  const line = (where: string) => {
    const { args = [] } = commandLines().find(line => line.where.includes(where)) ?? {}
    return serveOptions(parseArgs({ args: [...args], options: serveFlags }).values, { logger: false })
  }
  const needed = (where: string) => (line(where).drainDelay + line(where).shutdownTimeout) / 1000
  const seconds = (text: string, pattern: RegExp) => Number(pattern.exec(text)?.[1])
  t.ok(seconds(read('systemd/mlflow-gateway.service'), /^TimeoutStopSec=(\d+)$/m) > needed('systemd'))
  t.ok(seconds(read('compose/compose.yaml'), /stop_grace_period: (\d+)s$/m) > needed('compose'))
  const manifest = read('kubernetes/mlflow.yaml')
  const grace = seconds(manifest, /terminationGracePeriodSeconds: (\d+)$/m)
  t.ok(grace > needed('kubernetes'))
  const [period, failures] = [/readinessProbe: .*periodSeconds: (\d+)/, /readinessProbe: .*failureThreshold: (\d+)/]
  const unready = seconds(manifest, period) * seconds(manifest, failures)
  t.ok(line('kubernetes').drainDelay / 1000 > unready, 'the probes have seen it before it stops listening')
  const outlives = seconds(manifest, /preStop: .*"(\d+)"/)
  t.ok(outlives > needed('kubernetes') && outlives < grace, 'MLflow is there as long as it is needed')
  t.match(read('systemd/mlflow-gateway.service'), /^Restart=always$/m)
})
