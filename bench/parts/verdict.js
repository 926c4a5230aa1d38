// The verdict alone: how it grows with the list, and with Hosts that come back or are always new; beside others' functions.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isHostAllowed } from 'host-validation-middleware'
import { createPolicy } from '../../dist/policy/policy.js'
import { resolveSettings } from '../../dist/settings/resolve.js'
import { ratio, show, spread, table, takeTurns, target } from '../harness.js'

const CALLS = 20_000
const SIZES = [1, 10, 100, 1000, 10_000]
const NAMES = 'exact names'
const kinds = {
  [NAMES]: { entry: i => `app-${i}.company.com`, hit: i => `app-${i}.company.com`, miss: i => `no-${i}.company.com` },
  '`*.suffix`': { entry: i => `*.team-${i}.company.com`, hit: i => `x.team-${i}.company.com`, miss: i => `x.no-${i}.company.com` },
  'inner wildcards': { entry: i => `app-${i}-*.company.com`, hit: i => `app-${i}-x.company.com`, miss: i => `no-${i}-x.company.com` },
  ranges: { entry: i => `10.${i >> 8}.${i & 255}.0/24`, hit: i => `10.${i >> 8}.${i & 255}.7`, miss: i => `172.${i >> 8}.${i & 255}.7` }
}

export async function run ({ rounds }) {
  const targets = []
  const growth = []
  for (const [name, kind] of Object.entries(kinds)) {
    for (const side of ['hit', 'miss']) {
      const variants = Object.fromEntries(SIZES.map(size => [size, fresh(kind, side, size)]))
      const values = await takeTurns(variants, rounds)
      const largest = ratio(values, 10_000, 1)
      growth.push([name, side === 'hit' ? 'allowed' : 'refused', ...SIZES.map(size => `${show(ratio(values, size, 1))}`), `${Math.round(spread(values[1]).median)} ns`])
      targets.push(target(`10,000 : 1 entries, new Hosts, ${name}, ${side === 'hit' ? 'allowed' : 'refused'}`, largest.median, 1.5))
      // An absolute time is this machine's: the best of the rounds, and the guard asks for no more than its kind.
      if (name === NAMES) targets.push(target(`a new Host, a name that is ${side === 'hit' ? 'allowed' : 'refused'}, microseconds`, Math.min(...values[1]) / 1000, side === 'hit' ? 1 : 1.3, { reachable: 4 }))
    }
  }

  const repeated = await takeTurns({
    map: repeat(lookUp()),
    'default list': repeat(inspector(undefined, 'localhost:5000')),
    'a name': repeat(inspector('mlflow.company.com', 'mlflow.company.com')),
    '10,000 ranges': repeat(inspector(entries(kinds.ranges, 10_000), '10.1.2.3')),
    'host-validation-middleware': repeat(theirs('mlflow.company.com', 'mlflow.company.com'))
  }, rounds)
  const rows = Object.entries(repeated).filter(([name]) => name !== 'map')
    .map(([name, values]) => [name, show(ratio(repeated, name, 'map'), 1), `${Math.round(spread(values).median)} ns`])
  targets.push(target('repeated Host, nanoseconds', Math.max(...['default list', 'a name', '10,000 ranges'].map(name => spread(repeated[name]).median)), 150, { reachable: 300 }))

  const hostile = await takeTurns(Object.fromEntries([50, 100, 200].map(length => [length, always(() => `${'a'.repeat(length / 2)}.${'a'.repeat(length / 2 - 1)}`, '*a*a*a*a*a*a*b.com')])), rounds)
  targets.push(target('hostile pattern, a Host of 200 : 100 characters', ratio(hostile, 200, 100).median, 2))

  return {
    title: 'The verdict alone',
    text: [
      'Hosts that are always new, so that nothing is remembered: cost as a multiple of a list with one entry, by the length of the list.',
      table(['entries', 'Host', ...SIZES.map(size => size.toLocaleString('en')), 'one entry here'], growth),
      'A Host that comes back, as a multiple of a `Map.get` of the same string:',
      table(['list', 'to Map.get', 'here'], rows),
      `The pattern \`*a*a*a*a*a*a*b.com\` against Hosts of 50, 100 and 200 times "a": ${[50, 100, 200].map(length => show(ratio(hostile, length, 50))).join(', ')}.`,
      'Other people\'s checks on a list of the same names, a new Host each time (Go\'s, which has no list, on one request again and again), as a multiple of ' +
      'this plugin\'s verdict:',
      table(['check', 'cost', 'here'], await others(rounds))
    ],
    targets
  }
}

function entries ({ entry }, size) {
  return Array.from({ length: size }, (_, i) => entry(i))
}

function policyOf (allowedHosts) {
  return createPolicy(resolveSettings({ allowedHosts }, {}))
}

/** Nanoseconds a call, for Hosts that never come back: each carries a port of its own. */
function fresh (kind, side, size) {
  const policy = policyOf(entries(kind, size))
  let turn = 0
  return () => {
    const hosts = Array.from({ length: CALLS }, () => `${kind[side](turn % size)}:${1 + turn++ % 65_535}`)
    turn += 7
    return measure(hosts, host => policy.inspect(head(host)))
  }
}

function always (host, entry) {
  const policy = policyOf([entry])
  let turn = 0
  return () => measure(Array.from({ length: CALLS }, () => `${host()}:${1 + turn++ % 65_535}`), host => policy.inspect(head(host)))
}

function measure (hosts, check) {
  const start = process.hrtime.bigint()
  for (const host of hosts) check(host)
  return Number(process.hrtime.bigint() - start) / hosts.length
}

function head (host) {
  return { method: 'GET', url: '/', headers: { host }, rawHeaders: ['Host', host] }
}

function repeat (check) {
  return () => {
    const start = process.hrtime.bigint()
    for (let i = 0; i < CALLS * 5; i++) check()
    return Number(process.hrtime.bigint() - start) / (CALLS * 5)
  }
}

function inspector (allowedHosts, host) {
  const policy = policyOf(allowedHosts)
  const request = head(host)
  return () => policy.inspect(request)
}

function theirs (entry, host) {
  const list = Object.freeze([entry])
  return () => isHostAllowed(host, list)
}

function lookUp () {
  const map = new Map([['mlflow.company.com', true]])
  return () => map.get('mlflow.company.com')
}

/** Each on a list of ten names and a wildcard, with Hosts that are allowed; MLflow's and Go's run in their own languages. */
async function others (rounds) {
  const list = Object.freeze([...entries(kinds[NAMES], 10), '*.company.org'])
  let turn = 0
  const hosts = () => Array.from({ length: CALLS }, () => `app-${turn % 10}.company.com:${1 + turn++ % 65_535}`)
  const policy = policyOf(list)
  const peers = Object.freeze([...entries(kinds[NAMES], 10), '.company.org'])
  const variants = {
    ours: () => measure(hosts(), host => policy.inspect(head(host))),
    'host-validation-middleware, `isHostAllowed`': () => measure(hosts(), host => isHostAllowed(host, peers))
  }
  const python = [process.env.MLFLOW_VENV, join(process.env.HOME ?? '', '.cache/fastify-mlflow-security/mlflow')].find(venv => venv !== undefined && existsSync(join(venv, 'bin/python')))
  if (python !== undefined) variants['MLflow, `is_allowed_host_header`'] = () => mlflow(join(python, 'bin/python'), list)
  const folder = mkdtempSync(join(tmpdir(), 'bench-'))
  const go = buildGo(folder)
  if (go !== undefined) variants['Go, `CrossOriginProtection.Check` (a same-origin POST)'] = () => Number(execFileSync(go, { encoding: 'utf8' }))
  const values = await takeTurns(variants, Math.min(rounds, 5))
  rmSync(folder, { recursive: true })
  return Object.keys(values).map(name => [
    name === 'ours' ? 'this plugin, `inspect`' : name, show(ratio(values, name, 'ours')), `${Math.round(spread(values[name]).median)} ns`
  ])
}

function mlflow (python, list) {
  const script = `
import time
from mlflow.server.security_utils import is_allowed_host_header
allowed = ${JSON.stringify(list)} + [f"app-{i}.company.com:*" for i in range(10)]
hosts = [f"app-{i % 10}.company.com:{1 + i % 65535}" for i in range(${CALLS})]
start = time.perf_counter_ns()
for host in hosts: is_allowed_host_header(allowed, host)
print((time.perf_counter_ns() - start) / len(hosts))`
  return Number(execFileSync(python, ['-c', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
}

const GO = `package main

import ("fmt"; "net/http"; "time")

func main() {
  check := http.NewCrossOriginProtection()
  request, _ := http.NewRequest("POST", "http://app.company.com/", nil)
  request.Header.Set("Origin", "http://app.company.com")
  const calls = 1000000
  start := time.Now()
  for i := 0; i < calls; i++ { if check.Check(request) != nil { panic("refused") } }
  fmt.Println(float64(time.Since(start).Nanoseconds()) / calls)
}
`

function buildGo (folder) {
  writeFileSync(join(folder, 'main.go'), GO)
  const binary = join(folder, 'check')
  const { status } = spawnSync('go', ['build', '-o', binary, join(folder, 'main.go')], { stdio: 'ignore', env: { ...process.env, GO111MODULE: 'off' } })
  return status === 0 ? binary : undefined
}
