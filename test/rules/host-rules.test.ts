import t from 'tap'
import { parseAuthority } from '../../lib/grammar/authority.js'
import { compileHostRules } from '../../lib/rules/host-rules.js'
import { settingsTable } from '../../lib/settings/table.js'
import { codedErrors } from '../../lib/settings/errors.js'

function allows (entries: readonly string[], host: string): boolean {
  const authority = parseAuthority(host)
  return authority !== undefined && compileHostRules(entries).allows(authority)
}

t.test('what each entry allows, and what it does not', async t => {
  const cases: Array<[entry: string, allowed: string[], refused: string[]]> = [
    ['mlflow.company.com', ['mlflow.company.com', 'MLFLOW.company.com.:5000'], ['company.com', 'x.mlflow.company.com', 'mlflow.company.com.evil.com']],
    ['Mlflow.Company.Com.', ['mlflow.company.com'], []],
    ['mlflow.company.com:5000', ['mlflow.company.com:5000'], ['mlflow.company.com', 'mlflow.company.com:5001']],
    ['a:80', ['a:80', 'a'], ['a:443']],
    ['a:443', ['a:443', 'a'], ['a:80']],
    ['a:65535', ['a:65535'], ['a:65534']],
    ['localhost:*', ['localhost', 'localhost:1'], ['x.localhost']],
    ['mlflow2', ['mlflow2', 'MLflow2:1'], ['mlflow', 'mlflow22']],
    ['*.node1', ['a.node1'], ['a.node2']],
    ['*.company.com', ['a.company.com', 'a.b.company.com:1'], ['company.com', 'acompany.com', '1.2.3.4', 'a.company.com.evil.com']],
    ['*.company.com:5000', ['a.company.com:5000'], ['a.company.com', 'a.company.com:1']],
    ['mlflow-*.company.com', ['mlflow-a.company.com', 'mlflow-a.b.company.com', 'mlflow-.company.com'], ['mlflow.company.com', 'x-mlflow-a.company.com']],
    ['mlflow-*.company.com:80', ['mlflow-a.company.com'], ['mlflow-a.company.com:81']],
    ['*.api.*.amazonaws.com', ['x.api.eu-west-1.amazonaws.com'], ['x.api.amazonaws.com', 'x.api.eu.amazonaws.com.evil.com', '.api.x.amazonaws.com']],
    ['a*b*c.d', ['abc.d', 'axbxc.d', 'abbc.d'], ['acb.d', 'ab.d', 'abc.dd', 'axxc.d']],
    ['ab*ab.c', ['abab.c', 'abxab.c'], ['ab.c']],
    ['192.168.1.100', ['192.168.1.100', '[::ffff:192.168.1.100]:5'], ['192.168.1.10', '192.168.1.100.evil.com']],
    ['[fd00::1]', ['[fd00:0::1]', '[FD00::1]:80'], ['[fd00::2]']],
    ['fd00::1', ['[fd00::1]:80'], ['[fd00::1:80]']],
    ['[fd00::1]:5000', ['[fd00::1]:5000'], ['[fd00::1]']],
    ['[fd00::1]:*', ['[fd00::1]:5000', '[fd00::1]'], []],
    ['::ffff:10.0.0.1', ['10.0.0.1'], ['10.0.0.2']],
    ['192.168.*', ['192.168.7.8', '192.168.7.8:5000', '[::ffff:192.168.0.1]'], ['192.168.evil.com', '192.169.0.1', '192.168.1.evil.com']],
    ['192.168.*:5000', ['192.168.7.8:5000'], ['192.168.7.8']],
    ['192.168.*.*', ['192.168.7.8'], ['192.169.0.1']],
    ['10.*', ['10.1.2.3'], ['10.evil.com', '11.0.0.1']],
    ['172.16.*', ['172.16.0.1'], ['172.17.0.1']],
    ['10.255.*', ['10.255.0.1'], ['10.254.0.1']],
    ['10.0.0.0/8', ['10.255.255.255', '[::ffff:10.0.0.1]'], ['11.0.0.0', '10.evil.com']],
    ['fd00::/8', ['[fdff::1]'], ['[fe00::1]']],
    ['::/16', ['[::1]'], ['127.0.0.1', '[::ffff:127.0.0.1]']],
    ['0.0.0.0/0', ['127.0.0.1', '[::ffff:127.0.0.1]'], ['[::1]']],
    ['[fd00::]/8', ['[fdff::1]'], []],
    ['::ffff:10.0.0.0/104', ['10.1.2.3'], ['11.1.2.3']],
    ['192.168.1.1/32', ['192.168.1.1'], ['192.168.1.0']],
    ['fd00::1/128', ['[fd00::1]'], ['[fd00::]']],
    ['::ffff:10.0.0.1/128', ['10.0.0.1'], ['10.0.0.0']],
    ['::ffff:10.0.0.1/96', ['8.8.8.8'], ['[fd00::1]']],
    ['münchen.example', ['xn--mnchen-3ya.example'], ['munchen.example']],
    ['*.münchen.example', ['a.xn--mnchen-3ya.example'], ['xn--mnchen-3ya.example']],
    ['*', ['evil.com', '8.8.8.8:1'], []]
  ]
  for (const [entry, allowed, refused] of cases) {
    for (const host of allowed) t.ok(allows([entry], host), `${entry} allows ${host}`)
    for (const host of refused) t.notOk(allows([entry], host), `${entry} does not allow ${host}`)
  }
})

t.test('the default list is this machine and private networks', async t => {
  const allowed = ['localhost', 'a.localhost:5000', '127.0.0.1', '127.9.9.9', '[::1]', '0.0.0.0:5000', '[::]', '10.0.0.1', '172.16.0.1', '172.31.255.255',
    '192.168.0.1', '[fc00::1]', '[fdff::1]']
  const refused = ['company.com', 'localhost.evil.com', '8.8.8.8', '172.32.0.1', '172.15.0.1', '192.167.0.1', '[fe80::1]', '[2001:db8::1]', '10.evil.com']
  for (const host of allowed) t.ok(allows(settingsTable.allowedHosts.default, host), host)
  for (const host of refused) t.notOk(allows(settingsTable.allowedHosts.default, host), host)
})

t.test('one entry among many allows, on each of its ports', async t => {
  const entries = ['a:1', 'a:2', '*.b:1', '*.b:2', '10.*:1', '10.*:2']
  for (const host of ['a:1', 'a:2', 'x.b:1', 'x.b:2', '10.0.0.1:1', '10.0.0.1:2']) t.ok(allows(entries, host), host)
  for (const host of ['a:3', 'x.b:3', '10.0.0.1:3']) t.notOk(allows(entries, host), host)
})

t.test('a wrong entry stops the start, with the fix', async t => {
  const cases: Array<[entry: string, reason: RegExp, fix?: string]> = [
    ['https://mlflow.company.com', /is a URL/, 'mlflow.company.com'],
    ['http://user@mlflow.company.com:5000/ui?x', /is a URL/, 'mlflow.company.com:5000'],
    ['file:///x', /is a URL/],
    ['mlflow.company.com/ui', /has a path/, 'mlflow.company.com'],
    ['mlflow.company.com:5000/ui', /has a path/, 'mlflow.company.com:5000'],
    ['.company.com', /begins with a dot/, 'company.com,*.company.com'],
    ['user:password@mlflow.company.com', /has userinfo/, 'mlflow.company.com'],
    ['@defaults', /not the name of a list/, '@default'],
    ['mlflow.company.com:', /has no valid port/, 'mlflow.company.com'],
    ['mlflow.company.com:http', /has no valid port/, 'mlflow.company.com'],
    ['mlflow.company.com:\u00fc\0', /has no valid port: "\\u00fc\\u0000" is/, 'mlflow.company.com'],
    ['"all"', /has quotes or brackets/],
    ['any/', /has a path/],
    ['mlflow.company.com:x80', /has no valid port/, 'mlflow.company.com'],
    ['mlflow.company.com:80x', /has no valid port/, 'mlflow.company.com'],
    ['x/10.0.0.0/8', /has a path/, 'x'],
    ['010.*', /not a valid IPv4/],
    ['mlflow.company.com:65536', /has no valid port/, 'mlflow.company.com'],
    [':5000', /has no host/],
    ['*:5000', /every host on one port/],
    ['**', /only wildcards, which match every name/],
    ['*.*', /only wildcards, which match every name/],
    ['*.', /only wildcards, which match every name/],
    ['[fd00::/8]', /has a path/],
    ['mlflow?.company.com', /the only wildcard is "\*"/, 'mlflow*.company.com'],
    ['mlflow??.company.com', /the only wildcard is "\*"/, 'mlflow*.company.com'],
    ['mlflow[0-9].company.com', /the only wildcard is "\*"/, 'mlflow*.company.com'],
    ['mlflow.company.com?', /the only wildcard is "\*"/], // with "*" in its place, mlflow.company.com.evil.com would pass
    ['?.com', /the only wildcard is "\*"/],
    ['["mlflow.company.com"]', /has quotes or brackets/, 'mlflow.company.com'],
    ['["mlflow.company.com"', /has quotes or brackets/, 'mlflow.company.com'],
    [' "mlflow.company.com:5000"]', /has quotes or brackets/, 'mlflow.company.com:5000'],
    ["'a.com'", /has quotes or brackets/, 'a.com'],
    ['[mlflow.company.com]', /has quotes or brackets/, 'mlflow.company.com'],
    ['[mlflow.company.com', /has quotes or brackets/, 'mlflow.company.com'],
    ['mlflow.company.com]', /has quotes or brackets/, 'mlflow.company.com'],
    ['["*"]', /has quotes or brackets/],
    ['[localhost]:5000', /has quotes or brackets/, 'localhost'],
    ['all', /is a word that other tools use for everything/, '*'],
    ['ANY', /is a word that other tools use for everything/, '*'],
    ['auto', /is a word that other tools use for everything/, '*'],
    ['true', /is a word that other tools use for everything/, '*'],
    ['a.com;b.com', /has ";" or "\|"/, 'a.com,b.com'],
    ['a.com|b.com', /has ";" or "\|"/, 'a.com,b.com'],
    ['a.com; b.com:5000;', /has ";" or "\|"/, 'a.com,b.com:5000'],
    ['a.com;*.com', /has ";" or "\|"/],
    ['localhost: 5000', /separated by commas/],
    ['a.com b.com', /separated by commas/, 'a.com,b.com'],
    ['10.0.0.0/8:5000', /is a range with a port/, '10.0.0.0/8'],
    ['10.0.0.0/16:5000', /is a range with a port/, '10.0.0.0/16'],
    ['10.0.0.0/8:80x', /has a path/, '10.0.0.0'],
    ['company.com/8:*', /is a range with a port/],
    ['a.com/http://b.com', /has a path/, 'a.com'],
    ['mlflow-[0-9]', /the only wildcard is "\*"/],
    ['a]b.com', /not a valid IPv6 address/],
    ['.', /begins with a dot/],
    ['.com', /begins with a dot/],
    ['fe80::1%eth0', /zone id/, 'fe80::1'],
    ['[fe80::1%25eth0]', /zone id/, '[fe80::1]'],
    ['[fd00::1', /not a valid IPv6 address/],
    ['afd00::1]', /not a valid IPv6 address/],
    ['[fd00::1a', /not a valid IPv6 address/],
    ['fd00::g', /not a valid IPv6 address/],
    ['a:80:80', /not a valid IPv6 address/],
    ['fd00:::*', /not a valid IPv6 address/],
    ['10.0.0.0/33', /prefix length: 33 is not from 0 to 32/],
    ['fd00::/129', /prefix length: 129 is not from 0 to 128/],
    ['::ffff:10.0.0.0/95', /prefix length: 95 is not from 96 to 128/],
    ['company.com/8', /has a path/, 'company.com'],
    ['127.1', /not a valid IPv4.* \(192\.168\.\*\).* \(10\.0\.0\.0\/8\)/],
    ['10.0.2.555', /not a valid IPv4/],
    ['127.0.0.01', /not a valid IPv4/],
    ['192.168.1*', /not a valid IPv4/],
    ['192.*.1.5', /not a valid IPv4/],
    ['192.168.1.1.*', /not a valid IPv4/],
    ['256.*', /not a valid IPv4/],
    ['10.256.*', /not a valid IPv4/],
    ['1.2.3.*.*', /not a valid IPv4/],
    ['10*', /not a valid IPv4/],
    ['a..b', /not a valid host name/],
    ['*.0x7f', /not a valid host name/],
    [`${'a'.repeat(64)}.com`, /not a valid host name/],
    ['a$b', /characters that a host name cannot have/],
    ['a\0b', /characters that a host name cannot have/],
    ['mün*.example', /non-ASCII letters in one label/],
    ['xn--a.ü', /./]
  ]
  for (const [entry, reason, fix] of cases) {
    t.throws(() => codedErrors(() => compileHostRules(['localhost', entry])), {
      code: 'FST_MLFLOW_SECURITY_INVALID_OPTION',
      message: reason
    }, entry)
    let message = ''
    try { codedErrors(() => compileHostRules([entry])) } catch (error) { message = error instanceof Error ? error.message : '' }
    t.match(message, /^allowedHosts \(MLFLOW_SERVER_ALLOWED_HOSTS, --allowed-hosts\): "/, `${entry}: names option, variable and flag`)
    t.equal(/Did you mean "(.*)"\?$/.exec(message)?.[1], fix, `${entry}: the fix`)
  }
})

t.test('the entry that would allow a host is no wider than those it has', async t => {
  const rules = compileHostRules(['mlflow.internal:5000', '*.company.com'])
  const cases = [['mlflow.lan:5000', 'mlflow.lan'], ['mlflow.internal:5001', 'mlflow.internal:5001'], ['[2001:db8::1]:80', '[2001:db8::1]']] as const
  for (const [host, entry] of cases) {
    const authority = parseAuthority(host)
    t.equal(authority && rules.entryFor(authority), entry, host)
  }
})
