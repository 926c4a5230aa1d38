// Lists that are more open than people think.
import t from 'tap'
import { compileFrameAncestors } from '../../lib/rules/frame-ancestors.js'
import { compileHostRules } from '../../lib/rules/host-rules.js'
import { compileOriginRules } from '../../lib/rules/origin-rules.js'
import { warnOfOpenWildcards } from '../../lib/rules/wildcards.js'
import { settingsTable } from '../../lib/settings/table.js'

t.test('a list that lets in names which anyone can register warns', async t => {
  const warnings = async (entry: string) => {
    const { warnings, wildcards } = compileHostRules([entry])
    return [...warnings, ...await warnOfOpenWildcards(wildcards)]
  }
  for (const entry of ['*', '*.com', '*com', '*company.com', '*localhost', 'mlflow.*', '*.co.uk', '*.github.io', 'x-*.vercel.app', '*.com:5000']) {
    t.equal((await warnings(entry)).length, 1, entry)
  }
  for (const entry of ['*.company.com', '*.localhost', 'mlflow-*.company.com', '192.168.*', 'a', '*.lan', '*.x.github.io', '@addresses']) t.same(await warnings(entry), [], entry)
})

t.test('a list that is open to all warns', async t => {
  const warnings = async (entry: string) => {
    const { warnings, wildcards } = compileOriginRules([entry])
    return [...warnings, ...await warnOfOpenWildcards(wildcards)]
  }
  for (const entry of ['*', 'null', 'https://*', 'https://*.com', 'http://app.*:*', 'https://*.vercel.app', 'file://', 'file://*']) {
    t.equal((await warnings(entry)).length, 1, entry)
  }
  for (const entry of ['https://*.company.com', 'localhost:*', 'vscode-webview://*']) t.same(await warnings(entry), [], entry)
  for (const [entry, count] of [['https://*', 1], ['https://*.github.io', 1], ['https://*.company.com', 0], ['vscode-webview://*', 0]] as const) {
    t.equal((await warnOfOpenWildcards(compileFrameAncestors([entry]).wildcards)).length, count, `frameAncestors: ${entry}`)
  }
})

t.test('the default lists have no wildcard to look up: the list of public suffixes is not loaded for them', t => {
  t.same(compileHostRules(settingsTable.allowedHosts.default).wildcards, [])
  t.same(compileOriginRules(settingsTable.corsAllowedOrigins.default).wildcards, [])
  t.end()
})
