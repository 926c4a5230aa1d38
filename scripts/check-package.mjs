// Packs the tarball as npm would publish it, checks it with publint and attw, and uses it in an empty folder: by `import`,
// by `require`, and as the command.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'package-'))
const run = (command, args, cwd = root) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

try {
  const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]))
  const tarball = join(folder, filename)
  console.log(`${filename}: ${files.length} files`)
  console.log(run('npx', ['publint', '--strict', tarball]))
  console.log(run('npx', ['attw', '--profile', 'esm-only', tarball]))

  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  run('npm', ['install', '--no-audit', '--no-fund', 'fastify@5', tarball], folder)
  writeFileSync(join(folder, 'import.mjs'), `
    import Fastify from 'fastify'
    import mlflowSecurity from 'fastify-mlflow-security'
    import { createGateway } from 'fastify-mlflow-security/gateway'
    createGateway({ upstream: 'http://127.0.0.1:5000' })
    ${use('import')}`)
  writeFileSync(join(folder, 'require.cjs'), `
    const Fastify = require('fastify')
    const mlflowSecurity = require('fastify-mlflow-security')
    const { mlflowSecuritySchema } = mlflowSecurity
    if (mlflowSecuritySchema.properties.MLFLOW_SERVER_ALLOWED_HOSTS === undefined) throw new Error('no schema')
    ;(async () => {${use('require')}})()`)
  for (const file of ['import.mjs', 'require.cjs']) console.log(run(process.execPath, [file], folder).trim())
  console.log(run('npx', ['fastify-mlflow-security', 'check', '--host-header', 'localhost'], folder).trim())

  // Who only registers the plugin may leave the gateway's packages out.
  rmSync(join(folder, 'node_modules'), { recursive: true })
  run('npm', ['install', '--omit=optional', '--no-audit', '--no-fund'], folder)
  console.log(run(process.execPath, ['import.mjs'], folder).trim())
  const { stderr } = spawnSync('npx', ['fastify-mlflow-security', '--upstream', 'http://127.0.0.1:1'], { cwd: folder, encoding: 'utf8' })
  if (!stderr.includes('which is not installed: npm install')) throw new Error(`without its packages the command said: ${stderr}`)
  console.log(stderr.trim())
} finally {
  rmSync(folder, { recursive: true })
}

function use (how) {
  return `
    const fastify = Fastify()
    await fastify.register(mlflowSecurity, { allowedHosts: 'mlflow.company.com' })
    fastify.get('/', async () => 'ok')
    const statuses = []
    for (const host of ['mlflow.company.com', 'evil.com']) statuses.push((await fastify.inject({ url: '/', headers: { host } })).statusCode)
    if (statuses.join() !== '200,403') throw new Error('${how}: ' + statuses)
    console.log('${how}: ' + statuses)`
}
