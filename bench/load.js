// Over the wire, from a second process: served requests, refused ones and a mix take turns, so that the ratio holds on a
// noisy machine. A refused request must not be dearer than a served one, or refusals would be a way to bring a server down.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import autocannon from 'autocannon'
import Fastify from 'fastify'
import mlflowSecurity from '../dist/index.js'

const ROUNDS = 5
const SECONDS = 1

const served = { method: 'GET', path: '/runs', headers: { host: 'localhost' } }
const foreignHost = { ...served, headers: { host: 'evil.com' } }
const foreignOrigin = { method: 'POST', path: '/runs', headers: { host: 'localhost', origin: 'https://evil.com' } }
const LOADS = {
  served: [served],
  'refused Host': [foreignHost],
  'refused Origin': [foreignOrigin],
  'all mixed': [served, foreignHost, served, foreignOrigin]
}

if (process.argv[2] === 'serve') await serve()
else await measure()

async function serve () {
  // The log is written as in production, to nowhere.
  const fastify = Fastify({ logger: { level: 'info', stream: { write () {} } } })
  await fastify.register(mlflowSecurity)
  const runs = Array.from({ length: 20 }, (_, i) => ({ run_id: `run-${i}`, status: 'FINISHED', metrics: { loss: i / 10 } }))
  fastify.get('/runs', async () => ({ runs }))
  fastify.post('/runs', async () => ({ created: true }))
  await fastify.listen({ port: 0, host: '127.0.0.1' })
  process.send(fastify.server.address().port)
  process.once('SIGTERM', async () => {
    await fastify.close()
    process.disconnect()
  })
}

async function measure () {
  const server = fork(new URL(import.meta.url), ['serve'])
  const [port] = await once(server, 'message')
  const rates = Object.fromEntries(Object.keys(LOADS).map(name => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, requests] of Object.entries(LOADS)) {
      const { requests: { average }, errors, '5xx': failed } = await autocannon({ url: `http://127.0.0.1:${port}`, connections: 20, duration: SECONDS, requests })
      if (errors > 0 || failed > 0) throw new Error(`${name}: ${errors} errors, ${failed} answers of 5xx`)
      rates[name].push(average)
    }
  }
  console.log(`Node ${process.version}, ${ROUNDS} rounds of ${SECONDS} s; requests a second as a multiple of served ones, median (least–most)\n`)
  console.log('| requests | rate |')
  console.log('|---|---|')
  for (const [name, values] of Object.entries(rates)) {
    const ratios = values.map((value, i) => value / rates.served[i]).toSorted((a, b) => a - b)
    console.log(`| ${name} | ${ratios[ROUNDS >> 1].toFixed(2)} (${ratios[0].toFixed(2)}–${ratios[ROUNDS - 1].toFixed(2)}) |`)
  }
  server.kill('SIGTERM')
  const [code] = await once(server, 'exit')
  console.log(`\nThe server closed with exit code ${code}.`)
}
