import { readFileSync } from 'node:fs'
import t from 'tap'
import { resolveSettings } from '../../lib/settings/resolve.js'
import { findMeant } from '../../lib/settings/spelling.js'
import { flagOf, isDefaultList, mlflowSecuritySchema, nameOf, optionNames, settingOf, variableNames } from '../../lib/settings/table.js'

t.test('the docs table has each setting, with its variable, its flag and its default', async t => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  for (const option of optionNames) {
    const row = readme.split('\n').find(line => line.startsWith('| ') && line.includes(`| \`${option}\` |`)) ?? ''
    const { variable, flag, default: byDefault, defaultInWords } = settingOf(option)
    t.ok(row.includes(`\`${option}\``), `${option} has a row`)
    if (variable !== undefined) t.ok(row.includes(`\`${variable}\``), `${option}: ${variable}`)
    if (flag !== undefined) t.ok(row.includes(`\`--${flag}\``), `${option}: --${flag}`)
    const shown = row.split('|').at(-2)?.replaceAll('`', '').trim()
    t.equal(shown, defaultInWords ?? [byDefault].flat().map(value => typeof value === 'object' ? JSON.stringify(value) : value).join(), `${option}: its default`)
  }
})

t.test('a setting without a value has the default of the table', async t => {
  const resolved = resolveSettings({}, {})
  for (const option of optionNames) t.strictSame(resolved[option], settingOf(option).default, option)
})

t.test('the schema for an app has each variable', async t => {
  t.strictSame(Object.keys(mlflowSecuritySchema.properties), [...variableNames])
  t.match(mlflowSecuritySchema.properties.MLFLOW_SERVER_X_FRAME_OPTIONS, { type: 'string', description: 'X-Frame-Options: "SAMEORIGIN", "DENY" or "NONE".' })
})

t.test('messages about the command write a setting as its flag, its value and its variable', async t => {
  t.equal(flagOf('allowedHosts', 'a.com'), '--allowed-hosts a.com (MLFLOW_SERVER_ALLOWED_HOSTS)')
  t.equal(flagOf('disableSecurityMiddleware'), '--disable-security-middleware (MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE)')
})

t.test('a list is the default one, or it is not', async t => {
  t.equal(isDefaultList('corsAllowedOrigins', ['localhost:*']), true)
  for (const entries of [[], ['localhost'], ['localhost:*', 'localhost:*']]) t.equal(isDefaultList('corsAllowedOrigins', entries), false, entries.join())
})

t.test('a setting is named by its option and its variable, and found by how people write it', async t => {
  t.equal(nameOf('allowedHosts'), 'allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS)')
  t.equal(nameOf('cors'), 'cors')
  for (const written of ['allowed-host', 'ALLOWED_HOSTS', 'allowedhosts']) t.equal(findMeant(written, optionNames), 'allowedHosts', written)
  t.equal(findMeant('hosts', optionNames), undefined)
})
