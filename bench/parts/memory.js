// What is held: by long lists, after floods of distinct values, by the gateway while large bodies and many event streams
// pass; and how long a start takes.
import { execFileSync } from 'node:child_process'
import { get } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import mlflowSecurity from '../../dist/index.js'
import { createPolicy } from '../../dist/policy/policy.js'
import { resolveSettings } from '../../dist/settings/resolve.js'
import { ratio, show, spread, table, takeTurns, target } from '../harness.js'
import { start } from '../processes.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
const MB = 1e6
const STREAMS = 1000

export async function run ({ rounds }) {
  const targets = []
  const lists = Object.entries({
    'exact names': i => `app-${i}.company.com`, '`*.suffix`': i => `*.team-${i}.company.com`, 'inner wildcards': i => `app-${i}-*.company.com`, ranges: i => `10.${i >> 8}.${i & 255}.0/24`
  }).map(([name, entry]) => {
    const before = heap()
    const policy = createPolicy(resolveSettings({ allowedHosts: Array.from({ length: 10_000 }, (_, i) => entry(i)) }, {}))
    return [name, `${((heap() - before) / MB).toFixed(1)} MB`, policy.warnings.length === 0 ? '' : 'warned']
  })

  const flood = floodGrowth()
  targets.push(target('heap after a million distinct Hosts and Origins, MB', flood / MB, 5))

  const upstream = await start('upstream')
  const gateway = await start('gateway', upstream.url)
  const gatewayRows = []
  await download(`${gateway.url}/blob?size=1000`)
  const resting = (await gateway.memory()).rss
  let peak = resting
  const watch = async () => { peak = Math.max(peak, (await gateway.memory()).rss) }
  for (let i = 0; i < 3; i++) await Promise.all([download(`${gateway.url}/blob?size=${300 * MB}`), wait(50).then(watch), wait(150).then(watch), wait(300).then(watch)])
  gatewayRows.push(['at rest', `${(resting / MB).toFixed(0)} MB`], ['most while three bodies of 300 MB pass', `${(peak / MB).toFixed(0)} MB`])
  targets.push(target('RSS of the gateway over 300 MB bodies, more than at rest, MB', (peak - resting) / MB, 150))
  const before = (await gateway.memory()).rss
  const streams = await Promise.all(Array.from({ length: STREAMS }, () => open(`${gateway.url}/events`)))
  const during = (await gateway.memory()).rss
  gatewayRows.push([`with ${STREAMS} open event streams, each`, `${((during - before) / STREAMS / 1000).toFixed(0)} kB`])
  for (const response of streams) response.destroy()
  gateway.stop()
  upstream.stop()

  const ready = await takeTurns({ bare: () => timeToReady(), 10: () => timeToReady(10), '10,000': () => timeToReady(10_000) }, rounds)
  const starts = await takeTurns({ bare: () => firstStart(false), ours: () => firstStart(true) }, Math.min(rounds, 9))
  const more = Object.fromEntries(['import', 'ready'].map(step => [step, best(starts.ours, step) - best(starts.bare, step)]))
  // An absolute time is this machine's; the guard does not look here.
  targets.push(target('importing the plugin adds to importing Fastify, ms', more.import, 40), target('ready() with ten entries, the first of a process, ms more', more.ready, 5))

  return {
    title: 'Memory and start',
    text: [
      'Heap of 10,000 entries of `allowedHosts`, compiled:',
      table(['entries', 'heap', ''], lists),
      `After a million distinct Hosts and Origins the heap has grown by ${(flood / MB).toFixed(2)} MB.`,
      'The gateway\'s resident memory:',
      table(['', 'RSS'], gatewayRows),
      'Time to `ready()` in a process that has done it before, in milliseconds and as a multiple:',
      table(['', 'ms', 'multiple'], [
        ['bare Fastify', show(spread(ready.bare), 1), '1'],
        ...['10', '10,000'].map(size => [`${size} entries`, show(spread(ready[size]), 1), show(ratio(ready, size, 'bare'))])
      ]),
      'A new process, in milliseconds of processor time, the best of the rounds:',
      table(['', 'Fastify alone', 'the plugin adds'], [
        ['import', best(starts.bare, 'import').toFixed(0), more.import.toFixed(0)],
        ['`ready()`, ten entries', best(starts.bare, 'ready').toFixed(1), more.ready.toFixed(1)]
      ])
    ],
    targets
  }
}

function heap () {
  collect()
  return process.memoryUsage().heapUsed
}

function floodGrowth () {
  const policy = createPolicy(resolveSettings({}, {}))
  const ask = i => policy.inspect({ method: 'POST', url: '/', headers: { host: i % 2 === 0 ? `localhost:${i % 65_535}` : `h${i}.localhost`, origin: `https://o${i}.com` } })
  for (let i = 0; i < 10_000; i++) ask(i)
  const before = heap()
  for (let i = 10_000; i < 1_010_000; i++) ask(i)
  return heap() - before
}

function download (url) {
  return new Promise((resolve, reject) => { get(url, response => response.resume().on('end', resolve)).on('error', reject) })
}

function open (url) {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, response => response.once('data', () => resolve(response)).on('error', () => {})).on('error', reject)
  })
}

async function timeToReady (entries) {
  const allowedHosts = Array.from({ length: entries ?? 0 }, (_, i) => `app-${i}.company.com`)
  const start = performance.now()
  const app = Fastify()
  if (entries !== undefined) app.register(mlflowSecurity, { allowedHosts })
  await app.ready()
  return performance.now() - start
}

/** Milliseconds of processor time that a new process takes to import and to be ready, by itself or with the plugin. */
function firstStart (withPlugin) {
  const hosts = JSON.stringify(Array.from({ length: 10 }, (_, i) => `app-${i}.company.com`))
  const plugin = JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)
  const script = `
    const steps = [process.cpuUsage()]
    const { default: Fastify } = await import('fastify')
    ${withPlugin ? `const { default: plugin } = await import(${plugin})` : ''}
    steps.push(process.cpuUsage(steps[0]))
    const app = Fastify()
    ${withPlugin ? `app.register(plugin, { allowedHosts: ${hosts} })` : ''}
    const start = process.cpuUsage()
    await app.ready()
    steps.push(process.cpuUsage(start))
    console.log(JSON.stringify(steps.slice(1).map(({ user, system }) => (user + system) / 1000)))`
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: new URL('../..', import.meta.url), encoding: 'utf8' })
  const [imported, ready] = JSON.parse(out)
  return { import: imported, ready }
}

function best (starts, step) {
  return Math.min(...starts.map(start => start[step]))
}
