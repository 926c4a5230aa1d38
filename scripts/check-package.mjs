// Packs the tarball as npm would publish it, checks it with publint and attw, and uses it the way its users do: installed by
// npm and by pnpm, by `import`, by `require`, from TypeScript, and as the command.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PNPM = 'pnpm@10'
const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'package-'))
const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const run = (command, args, cwd = root) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

try {
  const tarball = pack()
  const project = newProject('npm')
  run('npm', ['install', '--no-audit', '--no-fund', 'fastify@5', tarball], project)
  useFromJavaScript(project)
  console.log(run('npx', ['fastify-mlflow-security', 'check', '--host-header', 'localhost'], project).trim())
  useFromTypeScript(project)
  leaveOptionalOut(project)
  useWithPnpm(tarball)
} finally {
  rmSync(folder, { recursive: true })
}

function pack () {
  const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]))
  const tarball = join(folder, filename)
  console.log(`${filename}: ${files.length} files`)
  console.log(run('npx', ['publint', '--strict', tarball]))
  console.log(run('npx', ['attw', '--profile', 'esm-only', tarball]))
  return tarball
}

function newProject (name) {
  const project = join(folder, name)
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  return project
}

function useFromJavaScript (project) {
  writeFileSync(join(project, 'import.mjs'), `
    import Fastify from 'fastify'
    import mlflowSecurity from 'fastify-mlflow-security'
    import { createGateway } from 'fastify-mlflow-security/gateway'
    createGateway({ upstream: 'http://127.0.0.1:5000' })
    ${use('import')}`)
  writeFileSync(join(project, 'require.cjs'), `
    const Fastify = require('fastify')
    const mlflowSecurity = require('fastify-mlflow-security')
    const { mlflowSecuritySchema } = mlflowSecurity
    if (mlflowSecuritySchema.properties.MLFLOW_SERVER_ALLOWED_HOSTS === undefined) throw new Error('no schema')
    ;(async () => {${use('require')}})()`)
  for (const file of ['import.mjs', 'require.cjs']) console.log(run(process.execPath, [file], project).trim())
}

/** Compiles with the settings that docs/options.md names, and runs what comes out. */
function useFromTypeScript (project) {
  const packages = ['typescript', '@types/node'].map(name => `${name}@${devDependencies[name]}`)
  run('npm', ['install', '--no-audit', '--no-fund', '--save-dev', ...packages], project)
  const types = `
    import type { MlflowSecurityOptions, Verdict } from 'fastify-mlflow-security'
    import { createGateway } from 'fastify-mlflow-security/gateway'
    import type { GatewayOptions } from 'fastify-mlflow-security/gateway'
    const options: MlflowSecurityOptions = { allowedHosts: 'mlflow.company.com' }
    const gateway: GatewayOptions = { upstream: 'http://127.0.0.1:5000' }
    createGateway(gateway)
    const app = Fastify()
    app.register(mlflowSecurity, options)
    app.get('/open', { config: { mlflowSecurity: { origin: false } } }, async request => {
      const verdict: Verdict = app.mlflowSecurity.inspect(request.raw)
      return verdict.allowed
    })
    // @ts-expect-error the types are there, and know what is wrong
    app.register(mlflowSecurity, { allowedHost: 'a' }).then(() => {}, () => {})
    // @ts-expect-error in the configuration of routes as well
    if (app.server.listening) app.get('/wrong', { config: { mlflowSecurity: { host: true } } }, async () => '')`
  writeFileSync(join(project, 'module.mts'), `
    import Fastify from 'fastify'
    import mlflowSecurity, { mlflowSecuritySchema } from 'fastify-mlflow-security'
    ${types}
    if (mlflowSecuritySchema.properties === undefined) throw new Error('no schema')
    ${use('TypeScript, module')}`)
  writeFileSync(join(project, 'common.cts'), `
    import Fastify from 'fastify'
    import mlflowSecurity = require('fastify-mlflow-security')
    ${types}
    void (async () => {${use('TypeScript, CommonJS')}})()`)
  writeFileSync(join(project, 'default.cts'), `
    import Fastify from 'fastify'
    import mlflowSecurity, { mlflowSecuritySchema } from 'fastify-mlflow-security'
    ${types}
    if (mlflowSecuritySchema === undefined) throw new Error('no schema')
    void (async () => {${use('TypeScript, CommonJS, default import')}})()`)
  const compile = (files, ...flags) => run('npx', ['tsc', '--strict', '--target', 'es2022', '--types', 'node', ...flags, ...files], project)
  for (const module of ['nodenext', 'node20']) {
    compile(['module.mts', 'common.cts', 'default.cts'], '--module', module)
    for (const file of ['module.mjs', 'common.cjs', 'default.cjs']) console.log(`${module}: ${run(process.execPath, [file], project).trim()}`)
  }
  compile(['module.mts'], '--module', 'esnext', '--moduleResolution', 'bundler', '--noEmit')
  console.log('bundler: compiles')
}

/** Who only registers the plugin may leave the gateway's packages out. */
function leaveOptionalOut (project) {
  rmSync(join(project, 'node_modules'), { recursive: true })
  run('npm', ['install', '--omit=optional', '--omit=dev', '--no-audit', '--no-fund'], project)
  console.log(run(process.execPath, ['import.mjs'], project).trim())
  const { stderr } = spawnSync('npx', ['fastify-mlflow-security', '--upstream', 'http://127.0.0.1:1'], { cwd: project, encoding: 'utf8' })
  if (!stderr.includes('which is not installed. Run npm install')) throw new Error(`without its packages the command said: ${stderr}`)
  console.log(stderr.trim())
}

/** pnpm gives a package only what it declares. */
function useWithPnpm (tarball) {
  const project = newProject('pnpm')
  run('npx', ['--yes', PNPM, 'add', 'fastify@5', tarball], project)
  useFromJavaScript(project)
  console.log(run('npx', ['--yes', PNPM, 'exec', 'fastify-mlflow-security', 'check', '--host-header', 'localhost'], project).trim())
}

function use (how) {
  return `
    const fastify = Fastify()
    await fastify.register(mlflowSecurity, { allowedHosts: 'mlflow.company.com' })
    fastify.get('/', async () => 'ok')
    const statuses: number[] = []
    for (const host of ['mlflow.company.com', 'evil.com']) statuses.push((await fastify.inject({ url: '/', headers: { host } })).statusCode)
    if (statuses.join() !== '200,403') throw new Error('${how}: ' + statuses)
    console.log('${how}: ' + statuses)`.replace(how.startsWith('TypeScript') ? /^$/ : ': number[]', '')
}
