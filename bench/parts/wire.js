// Over the wire, from another process: bare Fastify and the plugin with a log; the gateway beside bare @fastify/http-proxy
// and nginx.
import { get } from 'node:http'
import autocannon from 'autocannon'
import { ratio, show, spread, table, takeTurns, target } from '../harness.js'
import { start, startNginx } from '../processes.js'

const MEGABYTE = 1 << 20
const served = { method: 'GET', path: '/runs', headers: { host: 'localhost' } }
const foreignHost = { ...served, headers: { host: 'evil.com' } }
const foreignOrigin = { method: 'POST', path: '/runs', headers: { host: 'localhost', origin: 'https://evil.com' } }

export async function run ({ rounds, full, guard }) {
  const seconds = full ? 2 : 1
  const turns = Math.min(full ? 5 : 3, rounds)
  const targets = []
  const [bare, ours] = [await start('bare'), await start('ours')]
  const plugin = await takeTurns({
    bare: () => rate(bare.url, [served], seconds),
    served: () => rate(ours.url, [served], seconds),
    'refused Host': () => rate(ours.url, [foreignHost], seconds),
    'refused Origin': () => rate(ours.url, [foreignOrigin], seconds),
    mixed: () => rate(ours.url, [served, foreignHost, served, foreignOrigin], seconds)
  }, turns)
  bare.stop()
  ours.stop()
  for (const name of ['refused Host', 'refused Origin']) targets.push(target(`rate, ${name} : served`, ratio(plugin, name, 'served').median, 1, { atLeast: true }))

  const upstream = await start('upstream')
  const servers = { proxy: await start('proxy', upstream.url), gateway: await start('gateway', upstream.url), nginx: await startNginx(upstream.url) }
  const rows = []
  const loads = {
    'small JSON, requests a second': url => rate(url, [served], seconds),
    '1 MB, requests a second': url => rate(url, [{ ...served, path: `/blob?size=${MEGABYTE}` }], seconds),
    ...(guard
      ? {}
      : {
          '300 MB, bytes a second': async url => {
            const rates = []
            for (let i = 0; i < 3; i++) rates.push(await download(`${url}/blob?size=${300 * MEGABYTE}`))
            return spread(rates).median
          }
        })
  }
  for (const [name, load] of Object.entries(loads)) {
    const present = Object.entries(servers).filter(([, server]) => server !== undefined)
    const values = await takeTurns(Object.fromEntries(present.map(([kind, server]) => [kind, () => load(server.url).catch(error => { throw new Error(`${kind}, ${name}: ${error.message}`) })])), turns)
    const toProxy = ratio(values, 'gateway', 'proxy')
    rows.push([name, show(toProxy), values.nginx === undefined ? 'not installed' : show(ratio(values, 'gateway', 'nginx'))])
    targets.push(target(`gateway : bare @fastify/http-proxy, ${name.split(',')[0]}`, toProxy.median, 0.9, { atLeast: true }))
  }
  for (const server of [upstream, ...Object.values(servers)]) server?.stop()

  return {
    title: 'Over the wire',
    text: [
      'Requests a second from another process (autocannon, 20 connections), with the log on: the plugin to bare Fastify, refusals to served requests.',
      table(['', 'rate'], [
        ['served, to bare Fastify', show(ratio(plugin, 'served', 'bare'))],
        ...['refused Host', 'refused Origin', 'mixed'].map(name => [`${name}, to served`, show(ratio(plugin, name, 'served'))])
      ]),
      'Refusals hang on how the process happened to start as well: five starts gave medians from 0.98 to 1.22 (Host) and from 0.92 to 1.16 (Origin).',
      'The gateway, to `@fastify/http-proxy` alone and to nginx (one worker, access log on) whose configuration has the same rules as `map`s:',
      table(['', 'to @fastify/http-proxy', 'to nginx'], rows),
      'The figure for 1 MB hangs on how the processes happened to start: five runs gave medians from 0.66 to 1.50.'
    ],
    targets
  }
}

async function rate (url, requests, duration) {
  const { requests: { average }, errors, '5xx': failed } = await autocannon({ url, connections: 20, duration, requests })
  if (errors > 0 || failed > 0) throw new Error(`${url}: ${errors} errors, ${failed} answers of 5xx`)
  return average
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
