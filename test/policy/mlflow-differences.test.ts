import t from 'tap'
import { createPolicy } from '../../lib/policy/policy.js'
import type { Policy } from '../../lib/policy/policy.js'
import { resolveSettings } from '../../lib/settings/resolve.js'
import type { MlflowSecurityOptions } from '../../types/index.js'
import recorded from '../fixtures/mlflow-decisions.json' with { type: 'json' }

// What MLflow itself decided (scripts/record_mlflow.py), against what we decide. Every difference has its reason here; one
// without a reason fails, and so does a reason without a difference.

interface HostDifference { readonly reason: string, readonly allowedHere: boolean, readonly hosts: readonly string[] }

const HOST_DIFFERENCES: readonly HostDifference[] = [
  { reason: 'names are compared without case and trailing dot', allowedHere: true, hosts: ['LOCALHOST', 'localhost.', 'MLflow.Company.com', 'mlflow.company.com.'] },
  { reason: 'names below localhost are this machine (RFC 6761 §6.3)', allowedHere: true, hosts: ['a.localhost'] },
  {
    reason: 'addresses are parsed: all of 127.0.0.0/8, ::, fc00::/7, however written',
    allowedHere: true,
    hosts: ['127.0.0.2', '[0:0:0:0:0:0:0:1]', '[::]:5000', '[fd00::1]', '[fc00::1]:5000', '[fd12:3456::1]']
  },
  {
    reason: 'an entry without a port allows any port (mlflow/mlflow#22095), and :* the default one too',
    allowedHere: true,
    hosts: ['192.168.1.100:5000', 'mlflow.company.com:5000', 'a.company.com:5000', 'localhost', 'LOCALHOST', 'localhost.']
  },
  { reason: 'private ranges are addresses, not prefixes of names', allowedHere: false, hosts: ['10.evil.com', '192.168.evil.com', '172.16.evil.com'] },
  {
    reason: 'a wildcard does not cross what ends a host',
    allowedHere: false,
    hosts: ['localhost:5000@evil.com', 'evil.com/.company.com', 'evil.com#.company.com', 'evil.com:80@x.company.com']
  },
  { reason: 'an IPv6 address in a Host stands in brackets', allowedHere: false, hosts: ['fd00::1'] },
  { reason: 'with "*" host validation is off, for a missing Host too', allowedHere: true, hosts: [''] }
]

type Lists = Pick<MlflowSecurityOptions, 'allowedHosts' | 'corsAllowedOrigins'>

const policies = new Map<string, Policy>()

/** The same few lists come again and again. */
function policyOf (lists: Lists): Policy {
  const key = JSON.stringify(lists)
  const policy = policies.get(key) ?? createPolicy(resolveSettings(lists, {}))
  policies.set(key, policy)
  return policy
}

t.test(`hosts: MLflow ${recorded.mlflow}`, async t => {
  const seen = new Set<HostDifference>()
  for (const { allowedHosts, host, allowed } of recorded.hosts) {
    const { inspect } = policyOf({ allowedHosts: allowedHosts ?? undefined })
    const here = inspect({ method: 'GET', url: '/', headers: { host } }).allowed
    const reason = HOST_DIFFERENCES.find(({ allowedHere, hosts }) => allowedHere === here && hosts.includes(host))
    if (here !== allowed && reason !== undefined) seen.add(reason)
    else t.equal(here, allowed, `${JSON.stringify(host)} with ${allowedHosts ?? 'the default list'}`)
  }
  for (const difference of HOST_DIFFERENCES) t.ok(seen.has(difference), difference.reason)
})

interface OriginDifference {
  readonly reason: string
  readonly allowedHere: boolean
  readonly origins?: readonly string[]
  readonly methods?: readonly string[]
}

const LOCAL = ['http://localhost', 'http://localhost:3000', 'https://localhost:3000', 'http://127.0.0.1:3000', 'http://[::1]:3000']

const ORIGIN_DIFFERENCES: readonly OriginDifference[] = [
  { reason: "the server's own page is never cross-origin (mlflow/mlflow#22618)", allowedHere: true, origins: ['http://mlflow.lan:5000'] },
  { reason: 'every method that may change something is checked', allowedHere: false, methods: ['PROPFIND'] },
  { reason: 'all of 127.0.0.0/8 and the names below localhost are this machine', allowedHere: true, origins: ['http://127.0.0.2:3000', 'http://a.localhost:3000'] },
  { reason: 'an explicit list replaces the default, as documented', allowedHere: false, origins: LOCAL },
  { reason: 'an Origin with userinfo is none', allowedHere: false, origins: ['http://evil.com@localhost'] },
  { reason: 'localhost means http and https', allowedHere: false, origins: ['ftp://localhost'] },
  { reason: 'names are compared without case', allowedHere: true, origins: ['https://APP.company.com'] },
  { reason: 'a wildcard does not cross what ends a host', allowedHere: false, origins: ['https://evil.com/.company.com', 'https://evil.com#.company.com'] }
]

t.test(`origins: MLflow ${recorded.mlflow}`, async t => {
  const seen = new Set<OriginDifference>()
  const host = 'mlflow.lan:5000'
  for (const { corsAllowedOrigins, origin, method, allowed } of recorded.origins) {
    const { inspect } = policyOf({ allowedHosts: host, corsAllowedOrigins: corsAllowedOrigins ?? undefined })
    const here = inspect({ method, url: '/', headers: { host, ...(origin === '' ? {} : { origin }) } }).allowed
    const reason = ORIGIN_DIFFERENCES.find(({ allowedHere, origins, methods }) =>
      allowedHere === here && (methods ?? [method]).includes(method) && (origins ?? [origin]).includes(origin))
    if (here !== allowed && reason !== undefined) seen.add(reason)
    else t.equal(here, allowed, `${method} ${origin} with ${corsAllowedOrigins ?? 'the default list'}`)
  }
  for (const difference of ORIGIN_DIFFERENCES) t.ok(seen.has(difference), difference.reason)
})
