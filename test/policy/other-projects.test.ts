import t from 'tap'
import { createPolicy } from '../../lib/policy/policy.js'
import { codedErrors } from '../../lib/settings/errors.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import type { MlflowSecurityOptions } from '../../types/index.js'

// What others have in their test suites and advisories, as data: the hosts and origins that they let pass or refuse.
// Where we decide otherwise, the case stands under `differs`, with the reason.

interface HostCases {
  readonly source: string
  readonly allowedHosts: MlflowSecurityOptions['allowedHosts']
  readonly allowed: readonly string[]
  readonly refused: readonly string[]
  /** The peer says the opposite. */
  readonly differs?: ReadonlyArray<readonly [host: string, allowedHere: boolean, reason: string]>
}

const HOSTS: readonly HostCases[] = [
  {
    source: 'Rails, actionpack/test/dispatch/host_authorization_test.rb',
    allowedHosts: 'www.example.com,Example.local,host.test,*.domain.com,sub.example.org',
    allowed: ['www.example.com', 'example.local', 'Example.local', 'host.test:3000', 'my-sub.domain.com'],
    refused: [
      '.example.com', 'w.example.co', '//randomhost.com', 'evil.com', 'domain.com', 'attacker.com#x.domain.com', 'sub-example.org',
      'hacker%E3%80%82com', 'hacker%00.com', 'www.theirsite.com@yoursite.com', 'hacker.com/test/', 'hacker%252ecom', '.hacker.com',
      '/\\/\\/hacker.com/', '/hacker.com', '../hacker.com', '@hacker.com', 'hacker.com', 'hacker.com%23@www.example.com', 'hacker.com/.jpg',
      'hacker.com\texample.com/', 'hacker.com/www.example.com', 'hacker.com\\@www.example.com', 'hacker.com/'
    ],
    differs: [['secondary.sub.domain.com', true, 'a wildcard goes to any depth, as in MLflow']]
  },
  {
    source: 'Rails, the hosts allowed in development',
    allowedHosts: undefined,
    allowed: ['localhost:3000', '127.0.0.1', '127.0.0.1:3000', '0.0.0.0', '0.0.0.0:3000', '[::1]:3000', '[::]:3000', 'a.localhost'],
    refused: ['www.example.com'],
    differs: [['::1', false, 'no Host header: an IPv6 address stands in brackets'], ['::', false, 'no Host header: an IPv6 address stands in brackets']]
  },
  {
    source: 'Rails, CVE-2021-22903 and CVE-2021-22942: a domain that only begins or ends like the allowed one',
    allowedHosts: 'sub.example.com,*.example.org',
    allowed: ['sub.example.com', 'a.example.org'],
    refused: ['sub-example.com', 'subxexample.com', 'sub.example.community', 'evilexample.org', 'a.example.org.evil.com', 'a.example.org:80@evil.com']
  },
  {
    source: 'Rack, CVE-2026-34835: characters that no authority has',
    allowedHosts: 'example.com,*.example.com',
    allowed: ['example.com', 'a.example.com:80'],
    refused: ['evil.com/.example.com', 'evil.com?.example.com', 'evil.com#.example.com', 'evil.com@example.com', 'example.com@evil.com', 'evil.com/@example.com']
  },
  {
    source: 'webpack-dev-server, CVE-2026-14631: values that a URL parser throws on',
    allowedHosts: undefined,
    allowed: ['localhost:8080'],
    refused: ['[', ']', '[]', '[::1', '::1]', '[::1]]', ':', ':80', '%', 'a:b:c', 'http://', '\0', '\ufffd', 'xn--', '*', '@', '#', '?', '\\']
  },
  {
    source: 'Django, tests/requests_tests/tests.py, HostValidationTests',
    allowedHosts: [
      'forward.com', 'example.com', 'internal.com', '12.34.56.78', '[2001:19f0:feee::dead:beef:cafe]', 'xn--4ca9at.com', 'multitenant.com',
      '*.multitenant.com', 'INSENSITIVE.com', '[::ffff:169.254.169.254]'
    ],
    allowed: [
      'example.com', 'example.com:80', '12.34.56.78', '12.34.56.78:443', '[2001:19f0:feee::dead:beef:cafe]',
      '[2001:19f0:feee::dead:beef:cafe]:8080', 'xn--4ca9at.com', 'anything.multitenant.com', 'multitenant.com', 'insensitive.com',
      'example.com.', 'example.com.:80', '[::ffff:169.254.169.254]'
    ],
    refused: [
      'example.com@evil.tld', 'example.com:dr.frankenstein@evil.tld', 'example.com:dr.frankenstein@evil.tld:80', 'example.com:80/badpath',
      'example.com: recovermypassword.com', 'other.com', 'example.com..', '[::ffff:169.254.169.253]'
    ]
  },
  {
    source: 'ASP.NET Core, HostFilteringMiddlewareTests.cs',
    allowedHosts: 'localHost,example.com,*.exampLe.com,127.0.0.1,點看,[::aBc],[::1]',
    allowed: [
      'localHost', 'localhost:9090', 'example.com:443', 'localHost:80', 'foo.eXample.com:443', 'f.eXample.com:443', '127.0.0.1', '127.0.0.1:443',
      'xn--c1yn36f:443', '[::ABC]', '[::1]:80'
    ],
    refused: [';', ';:80', ':80', ':', '.example.com:443', 'foo.com:443', 'foo.example.com.bar:443', '點看', '[::1', '[::1:80', '']
  },
  {
    source: 'gofiber, middleware/hostauthorization',
    allowedHosts: 'example.com,Example.ORG,*.myapp.com,10.0.0.0/8,127.0.0.1,fd00::/8',
    allowed: [
      'example.com', 'EXAMPLE.com', 'example.com.', 'example.com:8080', 'example.org', 'api.myapp.com', 'deep.sub.myapp.com', '10.0.50.3',
      '10.255.255.255', '127.0.0.1', '[fd00::1]'
    ],
    refused: ['evil.com', 'myapp.com', '192.168.1.1', '169.254.169.254', '[2001:db8::1]', '', 'user@example.com', 'example.com/path']
  },
  {
    source: 'host-validation-middleware (Vite, GHSA-vg6x-rcgg-rjx6), without a list',
    allowedHosts: undefined,
    allowed: ['192.168.0.0', '[::1]', '127.0.0.1:5173', 'localhost', 'localhost:5173', 'foo.localhost', 'foo.bar.localhost'],
    refused: ['255.255.255.256', '[:', '[::z]', 'localhos', 'localhost.foo', 'mailto:foo@bar.com', ''],
    differs: [
      ['[2001:db8:0:0:1:0:0:1]:5173', false, 'a public address is not allowed for being an address'],
      ['file:///path/to/file.html', false, 'no Host header'],
      ['chrome-extension://foo', false, 'no Host header']
    ]
  },
  {
    source: 'host-validation-middleware and webpack-dev-server, with a list (.example.com is example.com,*.example.com here)',
    allowedHosts: 'example.com,*.example.com',
    allowed: ['example.com', 'foo.example.com', 'foo.bar.example.com', 'example.com:8080'],
    refused: ['vite.dev', 'example.com.evil.com', 'fooexample.com', 'localhost', '192.168.1.1']
  },
  {
    source: 'Jupyter Server, allow_remote_access: only local hosts',
    allowedHosts: '127.0.0.0/8,::1,localhost',
    allowed: ['localhost:8888', '127.0.0.1:8888', '127.0.0.2', '[::1]:8888', '[0:0:0:0:0:0:0:1]:8888', '[::ffff:127.0.0.1]'],
    refused: ['example.com', '192.168.1.5:8888', '8.8.8.8', 'localhost.evil.com', '127.0.0.1.evil.com', '[::2]']
  },
  {
    source: 'MCP SDKs (Python transport_security.py, TypeScript hostHeaderValidation): localhost:*',
    allowedHosts: 'localhost:*,127.0.0.1:*,[::1]:*',
    allowed: ['localhost:3000', 'LOCALHOST:3000', '127.0.0.1:8080', '[::1]:3000'],
    refused: ['evil.com', 'evil.com:3000', '', 'localhost:3000.evil.com', 'localhost:3000@evil.com', 'localhost:'],
    differs: [['localhost', true, ':* is any port, the default one too']]
  }
]

for (const { source, allowedHosts, allowed, refused, differs = [] } of HOSTS) {
  t.test(`hosts: ${source}`, async t => {
    const { inspect } = createPolicy(resolveSettings({ allowedHosts }, {}))
    const cases = [...allowed.map(host => [host, true, ''] as const), ...refused.map(host => [host, false, ''] as const), ...differs]
    for (const [host, expected, reason] of cases) {
      t.equal(inspect({ method: 'GET', url: '/', headers: { host } }).allowed, expected, `${JSON.stringify(host)} ${reason}`)
    }
  })
}

t.test('X-Forwarded-Host: Rails and gofiber', async t => {
  const { inspect } = createPolicy(resolveSettings({ allowedHosts: '127.0.0.1,www.example.com,domain.com,*.domain.com,localhost' }, {}))
  const cases: Array<[name: string, host: string, forwarded: string, expected: boolean]> = [
    ['a spoofed address', 'evil.example.com', '127.0.0.1', false],
    ['a spoofed localhost', 'evil.example.com', 'localhost', false],
    ['a relative host', 'www.example.com', '//randomhost.com', false],
    ['a permitted host', 'domain.com', 'my-sub.domain.com', true],
    ['CVE-2021-44528: a host that ends like a permitted one', 'domain.com', 'evil.com/.domain.com', false],
    ['CVE-2021-44528: with a port that is none', 'domain.com', 'sub.domain.com:80@evil.com', false],
    ['two proxies in one value', 'domain.com', 'evil.com, domain.com', false],
    ['another host', 'domain.com', 'evil.com', false]
  ]
  for (const [name, host, forwarded, expected] of cases) {
    t.equal(inspect({ method: 'GET', url: '/', headers: { host } }, { host: forwarded, protocol: 'http' }).allowed, expected, name)
  }
})

interface OriginCase {
  readonly name: string
  readonly method?: string
  readonly origin?: string
  readonly site?: string
  readonly upgrade?: boolean
  readonly allowed: boolean
}

const ORIGINS: ReadonlyArray<{ source: string, host: string, corsAllowedOrigins: string, cases: readonly OriginCase[] }> = [
  {
    source: 'Go net/http CrossOriginProtection, csrf_test.go',
    host: 'example.com',
    corsAllowedOrigins: 'https://trusted.example',
    cases: [
      { name: 'same-origin', site: 'same-origin', allowed: true },
      { name: 'none', site: 'none', allowed: true },
      { name: 'cross-site', site: 'cross-site', allowed: false },
      { name: 'same-site', site: 'same-site', allowed: false },
      { name: 'neither header', allowed: true },
      { name: 'no Sec-Fetch-Site, matching Origin', origin: 'https://example.com', allowed: true },
      { name: 'no Sec-Fetch-Site, other Origin', origin: 'https://attacker.example', allowed: false },
      { name: 'no Sec-Fetch-Site, null', origin: 'null', allowed: false },
      { name: 'GET', method: 'GET', site: 'cross-site', allowed: true },
      { name: 'HEAD', method: 'HEAD', site: 'cross-site', allowed: true },
      { name: 'OPTIONS', method: 'OPTIONS', site: 'cross-site', allowed: true },
      { name: 'PUT', method: 'PUT', site: 'cross-site', allowed: false },
      // Go counts TRACE among the unsafe ones; no browser lets a page send it (the Fetch standard, "forbidden method").
      { name: 'TRACE', method: 'TRACE', site: 'cross-site', allowed: true },
      { name: 'trusted', origin: 'https://trusted.example', allowed: true },
      { name: 'trusted, cross-site', origin: 'https://trusted.example', site: 'cross-site', allowed: true },
      { name: 'untrusted, cross-site', origin: 'https://attacker.example', site: 'cross-site', allowed: false }
    ]
  },
  {
    source: 'Jupyter Server, check_origin, and Vite, CVE-2025-24010: WebSockets of other sites',
    host: 'example.com:8888',
    corsAllowedOrigins: 'https://*.trusted.example',
    cases: [
      { name: 'the own page', method: 'GET', upgrade: true, origin: 'http://example.com:8888', allowed: true },
      { name: 'another port', method: 'GET', upgrade: true, origin: 'http://example.com:8889', allowed: false },
      { name: 'another site', method: 'GET', upgrade: true, origin: 'https://evil.com', allowed: false },
      { name: 'a listed site', method: 'GET', upgrade: true, origin: 'https://a.trusted.example', allowed: true },
      { name: 'a site that ends like a listed one', method: 'GET', upgrade: true, origin: 'https://eviltrusted.example', allowed: false },
      { name: 'a site that begins like a listed one', method: 'GET', upgrade: true, origin: 'https://a.trusted.example.evil.com', allowed: false },
      { name: 'no Origin: no browser', method: 'GET', upgrade: true, allowed: true }
    ]
  },
  {
    // They refuse the GETs, for their scripts are source code. Here reads are not refused; docs/security-testing.md, "Out of scope".
    source: 'Vite, webpack-dev-server (CVE-2025-30359) and Next.js: what other sites include by no-cors',
    host: 'localhost:5173',
    corsAllowedOrigins: '@default',
    cases: [
      { name: 'a script', method: 'GET', site: 'cross-site', allowed: true },
      { name: 'a script of a sister site', method: 'GET', site: 'same-site', allowed: true },
      { name: 'a write', site: 'cross-site', allowed: false },
      { name: 'a write with its Origin', site: 'cross-site', origin: 'https://evil.com', allowed: false }
    ]
  },
  {
    source: 'webpack-dev-server, CVE-2025-30360: an Origin that is an IP address, and CVE-2026-14631: one that a URL parser throws on',
    host: 'localhost:8080',
    corsAllowedOrigins: '@default',
    cases: [
      { name: 'an address', method: 'GET', upgrade: true, origin: 'http://192.168.1.66', allowed: false },
      { name: 'an address with the port of the server', method: 'GET', upgrade: true, origin: 'http://192.168.1.66:8080', allowed: false },
      { name: 'an IPv6 address', method: 'GET', upgrade: true, origin: 'http://[fd00::1]:8080', allowed: false },
      { name: 'a bracket', method: 'GET', upgrade: true, origin: 'http://[', allowed: false },
      { name: 'no URL', method: 'GET', upgrade: true, origin: 'http://', allowed: false },
      { name: 'nothing', method: 'GET', upgrade: true, origin: '', allowed: false },
      { name: 'the own page', method: 'GET', upgrade: true, origin: 'http://localhost:8080', allowed: true }
    ]
  },
  {
    source: 'MCP Inspector, CVE-2025-49596: another site asks 0.0.0.0, which is this machine',
    host: '0.0.0.0:6277',
    corsAllowedOrigins: '@default',
    cases: [
      { name: 'a write', origin: 'https://evil.com', allowed: false },
      { name: 'a write, no-cors', origin: 'https://evil.com', site: 'cross-site', allowed: false },
      { name: 'a socket', method: 'GET', upgrade: true, origin: 'https://evil.com', allowed: false },
      { name: 'a page of this machine', origin: 'http://localhost:6274', allowed: true }
    ]
  },
  {
    source: 'MCP SDKs: allowed_origins http://localhost:*',
    host: 'example.com',
    corsAllowedOrigins: 'http://localhost:*',
    cases: [
      { name: 'a port', origin: 'http://localhost:3000', allowed: true },
      { name: 'capitals', origin: 'HTTP://LOCALHOST:3000', allowed: true },
      { name: 'a port that is none', origin: 'http://localhost:3000.evil.com', allowed: false },
      { name: 'userinfo', origin: 'http://localhost:3000@evil.com', allowed: false },
      { name: 'another site', origin: 'http://evil.com', allowed: false }
    ]
  }
]

for (const { source, host, corsAllowedOrigins, cases } of ORIGINS) {
  t.test(`origins: ${source}`, async t => {
    const { inspect } = createPolicy(resolveSettings({ allowedHosts: host, corsAllowedOrigins }, {}))
    for (const { name, method = 'POST', origin, site, upgrade = false, allowed } of cases) {
      const headers = {
        host,
        ...(origin === undefined ? {} : { origin }),
        ...(site === undefined ? {} : { 'sec-fetch-site': site }),
        ...(upgrade ? { upgrade: 'websocket' } : {})
      }
      t.equal(inspect({ method, url: '/', headers }).allowed, allowed, name)
    }
  })
}

t.test('entries that Go and gofiber refuse, and an empty list that ASP.NET Core and gofiber refuse', async t => {
  const origins = ['example.com', 'https://', 'https://example.com/', 'https://example.com/path', 'https://example.com?query=value', 'https://example.com#fragment', 'https://ex ample.com', '']
  for (const corsAllowedOrigins of origins) t.throws(() => codedErrors(() => createPolicy(resolveSettings({ corsAllowedOrigins }, {}))), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' }, corsAllowedOrigins)
  for (const corsAllowedOrigins of ['https://example.com', 'https://example.com:8080', 'http://example.com']) createPolicy(resolveSettings({ corsAllowedOrigins }, {}))
  for (const allowedHosts of [[], 'not-a-cidr/99']) t.throws(() => codedErrors(() => createPolicy(resolveSettings({ allowedHosts }, {}))), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION' })
})
