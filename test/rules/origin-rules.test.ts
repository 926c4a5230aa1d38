import t from 'tap'
import { parseOrigin } from '../../lib/grammar/origin.js'
import { compileOriginRules } from '../../lib/rules/origin-rules.js'
import { settingsTable } from '../../lib/settings/table.js'
import { codedErrors } from '../../lib/settings/errors.js'

function allows (entries: readonly string[], text: string): boolean {
  const origin = parseOrigin(text)
  return origin !== undefined && compileOriginRules(entries).allows(origin)
}

t.test('what each entry allows, and what it does not', async t => {
  const cases: Array<[entry: string, allowed: string[], refused: string[]]> = [
    ['https://app.company.com', ['https://app.company.com', 'https://app.company.com:443'], ['http://app.company.com', 'https://app.company.com:8443',
      'https://app.company.com.evil.com', 'https://xapp.company.com']],
    ['https://app.company.com:443', ['https://app.company.com'], []],
    ['HTTPS://App.Company.com', ['https://app.company.com'], []],
    ['https://app.company.com:8443', ['https://app.company.com:8443'], ['https://app.company.com']],
    ['http://name:*', ['http://name', 'http://name:3000'], ['https://name', 'http://x.name']],
    ['https://*.company.com', ['https://a.company.com', 'https://a.b.company.com'], ['https://company.com', 'http://a.company.com', 'https://a.company.com:8443']],
    ['https://app-*.company.com:*', ['https://app-1.company.com:8443'], ['https://app.company.com:8443', 'http://app-1.company.com']],
    ['http://192.168.*', ['http://192.168.7.8'], ['http://192.168.evil.com', 'http://192.168.7.8:3000', 'https://192.168.7.8']],
    ['http://192.168.*:*', ['http://192.168.7.8:3000'], ['http://192.169.7.8:3000']],
    ['http://[::1]:3000', ['http://[0:0::1]:3000'], ['http://[::1]']],
    ['http://127.0.0.1:3000', ['http://127.0.0.1:3000'], ['http://127.0.0.2:3000']],
    ['localhost:*', ['http://localhost', 'https://localhost:3000', 'http://a.localhost:1', 'http://127.0.0.1:1', 'http://127.9.9.9', 'https://[::1]:8888'],
      ['http://localhost.evil.com', 'http://10.0.0.1', 'chrome-extension://localhost', 'http://0.0.0.0:1']],
    ['LOCALHOST', ['http://localhost', 'https://localhost', 'http://127.0.0.1'], ['http://localhost:3000', 'http://localhost:443']],
    ['http://localhost:*', ['http://localhost:3000'], ['https://localhost:3000', 'http://127.0.0.1:3000']],
    ['chrome-extension://abcdef', ['chrome-extension://abcdef'], ['chrome-extension://abcdeg', 'http://abcdef', 'chrome-extension://abcdef:80']],
    ['vscode-webview://*', ['vscode-webview://1a2b'], ['vscode-file://1a2b']],
    ['https://münchen.example', ['https://xn--mnchen-3ya.example'], []]
  ]
  for (const [entry, allowed, refused] of cases) {
    for (const origin of allowed) t.ok(allows([entry], origin), `${entry} allows ${origin}`)
    for (const origin of refused) t.notOk(allows([entry], origin), `${entry} does not allow ${origin}`)
  }
})

t.test('the default is this machine, and an address is not allowed for being one', async t => {
  t.ok(allows(settingsTable.corsAllowedOrigins.default, 'http://localhost:3000'))
  for (const origin of ['http://192.168.1.1', 'http://10.0.0.1:5000', 'https://company.com']) t.notOk(allows(settingsTable.corsAllowedOrigins.default, origin), origin)
})

t.test('a wrong entry stops the start, with the fix', async t => {
  const cases: Array<[entry: string, reason: RegExp, fix?: string]> = [
    ['app.company.com', /has no scheme/, 'https://app.company.com'],
    ['//app.company.com', /has no scheme/, 'https://app.company.com'],
    ['localhost:3000', /has no scheme/, 'http://localhost:3000'],
    ['localhost:3000/', /has no scheme/, 'http://localhost:3000'],
    ['app.company.com/', /has no scheme/, 'https://app.company.com'],
    ['127.0.0.1:3000', /has no scheme/, 'http://127.0.0.1:3000'],
    ['not-localhost.company.com', /has no scheme/, 'https://not-localhost.company.com'],
    ['app.company.com//ui', /has no scheme/, ''],
    ['@default2', /not the name of a list/, '@default'],
    ['https://app.company.com/', /path or a trailing slash/, 'https://app.company.com'],
    ['https://app.company.com/ui', /path or a trailing slash/, 'https://app.company.com'],
    ['https://app.company.com?x', /path or a trailing slash/, 'https://app.company.com'],
    ['https://user@app.company.com', /userinfo/, 'https://app.company.com'],
    ['https://app.company.com:x', /no valid port/, 'https://app.company.com'],
    ['https://.company.com', /begins with a dot/, 'https://company.com,https://*.company.com'],
    ['https:// a.com  b.com', /white space/, 'https://a.com,https://b.com'],
    ['https://a.com https://b.com', /white space; entries are separated by commas/, 'https://a.com,https://b.com'],
    ['localhost:*\n  https://b.com', /white space; entries are separated by commas/, 'localhost:*,https://b.com'],
    ['https://', /has no host/],
    ['http://::1', /IPv6 address without brackets/, 'http://[::1]'],
    ['http://127.1', /not a valid IPv4/],
    ['*://app.company.com', /has no scheme/, 'https://app.company.com'],
    ['http*://app.company.com', /has no scheme/, 'https://app.company.com'],
    ['wss://app.company.com', /has the scheme of a WebSocket/, 'https://app.company.com'],
    ['ws://app.company.com:3000', /has the scheme of a WebSocket/, 'http://app.company.com:3000'],
    ['https:app.com', /has no scheme/, ''],
    ['localhost:', /has no scheme/, ''],
    ['app.company.com:8443', /has no scheme/, 'https://app.company.com:8443'],
    ['1https://app.company.com', /has no scheme/],
    ['https://app.company.com\nevil.com', /has no scheme/, ''],
    ['https:///x', /path or a trailing slash/, ''],
    ['["https://app.company.com"', /has quotes or brackets/, 'https://app.company.com'],
    ['"*"', /has quotes or brackets/, ''],
    ['"https://a.com" "https://b.com"', /has quotes or brackets/, 'https://a.com,https://b.com'],
    ["'localhost:*'", /has quotes or brackets/, 'localhost:*'],
    ['https://[app.company.com]', /has quotes or brackets/, 'https://app.company.com'],
    ['https://*/x', /path or a trailing slash/, ''],
    ['all', /is a word that other tools use for everything/, '*'],
    ['True', /is a word that other tools use for everything/, '*'],
    ['https://a.com;https://b.com', /has ";" or "\|"/, 'https://a.com,https://b.com'],
    ['https://a.com | https://b.com', /has ";" or "\|"/, 'https://a.com,https://b.com'],
    ['file://host', /names a host, but pages of local files have none/, ''],
    [`${'a'.repeat(65)}://x`, /has a scheme of more than 64 characters/, ''],
    ['http://127.0.0.0/8', /is an address range/, 'http://127.*'],
    ['http://192.168.4.0/24', /is an address range/, 'http://192.168.4.*'],
    ['http://192.168.4.0/22', /is an address range/, ''],
    ['http://10.0.0.0/0', /is an address range/, ''],
    ['http://10.0.0.10/24', /is an address range/, 'http://10.0.0.*'],
    ['http://x10.0.0.0/8', /path or a trailing slash/, ''],
    ['http://127.0.0.1/1/2', /path or a trailing slash/, 'http://127.0.0.1'],
    ['Null', /has no scheme/, '']
  ]
  for (const [entry, reason, fix] of cases) {
    let message = ''
    try { codedErrors(() => compileOriginRules([entry])) } catch (error) { message = error instanceof Error ? error.message : '' }
    t.match(message, /^corsAllowedOrigins \(MLFLOW_SERVER_CORS_ALLOWED_ORIGINS, --cors-allowed-origins\): "/, `${entry}: names option, variable and flag`)
    t.match(message, reason, entry)
    if (fix !== undefined) t.equal(/Did you mean "(.*)"\?$/.exec(message)?.[1] ?? '', fix, `${entry}: the fix`)
  }
})
