// Over the wire, from another process: bare Fastify and the plugin with a log; the gateway beside bare @fastify/http-proxy,
// the HTTP client alone, and nginx.
import { get } from 'node:http'
import autocannon from 'autocannon'
import { ratio, show, spread, table, takeTurns, target } from '../harness.js'
import { start, startNginx } from '../processes.js'

const MEGABYTE = 1 << 20
const served = { method: 'GET', path: '/runs', headers: { host: 'localhost' } }
const foreignHost = { ...served, headers: { host: 'evil.com' } }
const foreignOrigin = { method: 'POST', path: '/runs', headers: { host: 'localhost', origin: 'https://evil.com' } }

export async function run ({ full, guard }) {
  const seconds = 1
  const turns = full ? 11 : guard ? 3 : 5
  const targets = []
  const [bare, headers, ours] = [await start('bare'), await start('headers'), await start('ours')]
  const plugin = await takeTurns({
    bare: () => rate(bare.url, [served], seconds),
    headers: () => rate(headers.url, [served], seconds),
    served: () => rate(ours.url, [served], seconds),
    'refused Host': () => rate(ours.url, [foreignHost], seconds),
    'refused Origin': () => rate(ours.url, [foreignOrigin], seconds),
    mixed: () => rate(ours.url, [served, foreignHost, served, foreignOrigin], seconds)
  }, turns)
  for (const server of [bare, headers, ours]) server.stop()
  targets.push(target('rate, served : three headers written down', ratio(plugin, 'served', 'headers').median, 0.95, { atLeast: true }))
  for (const name of ['refused Host', 'refused Origin']) targets.push(target(`rate, ${name} : served`, ratio(plugin, name, 'served').median, 1, { atLeast: true }))

  const upstream = await start('upstream')
  const rows = []
  const costs = [
    // The log at warn, as on a server that is busy; then as it is by default.
    { name: 'small JSON', level: 'warn', path: '/runs', limit: 1 / 1.4, limitNginx: 4.5 },
    { name: 'small JSON, log at info', level: 'info', path: '/runs', limit: 1 / 1.2 },
    { name: '1 MB', level: 'warn', path: `/blob?size=${MEGABYTE}`, limit: 1 / 0.85 }
  ]
  for (const { name, level, path, limit, limitNginx } of costs) {
    const servers = { nginx: await startNginx(upstream.url) }
    for (const kind of ['floor', 'proxy', 'gateway']) servers[kind] = await start(kind, upstream.url, level)
    const present = Object.entries(servers).filter(([, server]) => server !== undefined)
    const load = { ...served, path }
    const measures = present.map(([kind, server]) => [kind, () => timePerRequest(server, load, seconds)])
    const values = await takeTurns(Object.fromEntries(measures), turns)
    const best = kind => Math.min(...values[kind])
    const toProxy = best('gateway') / best('proxy')
    rows.push([name, `${best('gateway').toFixed(0)} µs`, toProxy.toFixed(2), (best('floor') / best('proxy')).toFixed(2), values.nginx === undefined ? 'not installed' : (best('gateway') / best('nginx')).toFixed(1)])
    targets.push(target(`CPU time a request, gateway : bare @fastify/http-proxy, ${name}`, toProxy, limit))
    if (limitNginx !== undefined && values.nginx !== undefined) targets.push(target(`CPU time a request, gateway : nginx, ${name}`, best('gateway') / best('nginx'), limitNginx))
    for (const server of Object.values(servers)) server?.stop()
  }
  if (!guard) rows.push(await largeBodies(upstream, turns))
  upstream.stop()

  return {
    title: 'Over the wire',
    text: [
      'Requests a second from another process (autocannon, 20 connections), with the log on: the plugin to bare Fastify and to a Fastify ' +
      'that writes the three headers down, refusals to served requests.',
      table(['', 'rate'], [
        ['served, to bare Fastify', show(ratio(plugin, 'served', 'bare'))],
        ['served, to three headers written down', show(ratio(plugin, 'served', 'headers'))],
        ...['refused Host', 'refused Origin', 'mixed'].map(name => [`${name}, to served`, show(ratio(plugin, name, 'served'))])
      ]),
      'Refusals hang on how the process happened to start as well: five starts gave medians from 0.98 to 1.22 (Host) and from 0.92 to 1.16 (Origin).',
      'The gateway beside `@fastify/http-proxy` alone and nginx (one worker, no buffering, access log on) whose configuration has the same rules as `map`s: CPU time (user and system) of the serving process for each request, in turns, the best of the rounds; less is better. The *floor* is node:http and undici with nothing else: no routes, no checks, no log. The last row is a rate.',
      table(['', 'the gateway', 'to @fastify/http-proxy', 'the floor to @fastify/http-proxy', 'to nginx'], rows)
    ],
    targets
  }
}

async function rate (url, requests, duration) {
  const { requests: { average }, errors, '5xx': failed } = await autocannon({ url, connections: 20, duration, requests })
  if (errors > 0 || failed > 0) throw new Error(`${url}: ${errors} errors, ${failed} answers of 5xx`)
  return average
}

/** Microseconds of CPU time of a server for each request that it has served: steadier than rates where the machine is shared. */
async function timePerRequest (server, request, duration) {
  const before = await server.cpu()
  const { requests: { total }, errors, '5xx': failed } = await autocannon({ url: server.url, connections: 20, duration, requests: [request] })
  if (errors > 0 || failed > 0) throw new Error(`${server.url}: ${errors} errors, ${failed} answers of 5xx`)
  return (await server.cpu() - before) / total
}

async function largeBodies (upstream, turns) {
  const servers = { proxy: await start('proxy', upstream.url), gateway: await start('gateway', upstream.url) }
  const values = await takeTurns(Object.fromEntries(Object.entries(servers).map(([kind, { url }]) => [kind, () => download(`${url}/blob?size=${300 * MEGABYTE}`)])), turns)
  for (const server of Object.values(servers)) server.stop()
  return ['300 MB, bytes a second', `${(spread(values.gateway).median / 1e6).toFixed(0)} MB`, show(ratio(values, 'gateway', 'proxy')), '', '']
}

/** Bytes a second. */
function download (url) {
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint()
    let bytes = 0
    get(url, { headers: { host: 'localhost' } }, response => {
      response.on('data', data => { bytes += data.length })
      response.on('end', () => resolve(bytes * 1e9 / Number(process.hrtime.bigint() - start)))
    }).on('error', reject)
  })
}
