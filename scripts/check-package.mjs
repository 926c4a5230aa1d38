// Packs the tarball as npm would publish it, checks it with publint and attw, and uses it in an empty folder, by
// `import` and by `require`.
import { execFileSync } from 'node:child_process'
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
    ${use('import')}`)
  writeFileSync(join(folder, 'require.cjs'), `
    const Fastify = require('fastify')
    const mlflowSecurity = require('fastify-mlflow-security')
    ;(async () => {${use('require')}})()`)
  for (const file of ['import.mjs', 'require.cjs']) console.log(run(process.execPath, [file], folder).trim())
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
