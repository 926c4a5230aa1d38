// npm run bench: a short run. --full measures longer and, where it measures all parts, writes docs/benchmarks.md and its
// chart. --guard fails where a target is missed by more than a noisy machine explains. Names of parts limit it to them:
// node bench/index.js request verdict
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, totalmem, type } from 'node:os'
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { barChart } from './chart.js'
import { isFarOff, meets, table } from './harness.js'

const PARTS = ['request', 'verdict', 'wire', 'engines', 'mlflow', 'memory']
const GUARDED = ['request', 'verdict', 'wire']
const SLACK = 2

const CHANGED = `## What measuring has changed

| found by | before | after |
| --- | --- | --- |
| leaving hooks out one by one: a request's \`routeOptions\` are built anew whenever they are read | GET without Origin adds 1.36 of the floor's, own page 1.45 | 1.25 and 1.35: the route is asked for only where one may have overrides |
| lists of 10,000 ranges or inner wildcards, a new Host each time | 0.1 ms, linear | 1.2 and 1.45 of one entry: networks by prefix length, patterns by their ends |
| \`--cpu-prof\` of the gateway: an \`AbortSignal\`, a listener and two closures for each request | 0.64 of \`@fastify/http-proxy\` | 0.93: one listener for each connection |
| \`--cpu-prof\` of a server that refuses, beside a hook that refuses with the same log line and a text written beforehand | a refusal costs 1.01 of a served request in process, 0.81 and 0.78 of its rate over the wire | 0.85 (Host) and 0.88 (Origin) in process, 1.07 and 1.03 of the rate: verdicts on what is refused are remembered as well, a hundred of them; one on a Host that is always new costs a tenth more |
| \`routeOptions\` read twice and options spread for every request by \`@fastify/cors\`; four onRequest hooks | added to three headers: GET 2.6, own page 2.5, listed app 3.3 to 3.9, preflight 4.7 to 5.5 | 1.6 to 1.8, 1.6 to 1.75, 2.8 to 3.5, 3.4 to 3.9: one onRequest hook; \`@fastify/cors\` is asked for allowed Origins only, with the policy's word in place of the route's |
| leaving parts out: with empty preParsing and onSend hooks in place of ours | GET 1.81 | 1.73, and 1.58 without the preParsing hook: calling two hooks is what is left beyond 1.6, and frames cannot be settled before the handler without one |
| \`--cpu-prof\` of the start | import and \`ready()\` with ten entries: 189 and 53 ms of processor time, on a busy machine | 78 and 11: Ajv is loaded only where the schema has something to check, Node's IPv6 expression only where there is a colon |
| the same again: which modules a start with default lists loads | \`ready()\` with ten entries, the first of a process: 59 ms of processor time, on a busy machine | 9: the list of public suffixes is not loaded for \`*.localhost\`, under which nobody can register a name |
| \`--cpu-prof\` of routes with \`config.cors\` | 19 ms a route, on a busy machine: the schema was compiled for each | 0.02 |
| \`--cpu-prof\` of Hosts that are always new: a third of the time is garbage collection | 1.9 µs, on a busy machine | 1.4: a remembered text is copied without a Buffer |
| the verdict alone in a loop: what is known of a Host and an Origin is looked up twice a request, by a hash | verdict 130 ns (GET), 360 (own page), 215 (listed app), on a busy machine | 49, 174 and 64: the value that was asked for last is compared first, and an Origin knows its default port |

Targets that are missed, and the limit as far as it is known:

- *A GET without Origin and the own page, to three headers and to the floor.* The plugin has three hooks, the others have one or two. Most of the difference is that Fastify calls them: without the preParsing hook a GET adds 1.58 of three headers, but frames cannot be settled before the handler without it. The own page also compares Origin and Host, about 0.1 µs.
- *A listed app, to the floor.* Both call \`@fastify/cors\`, which is the larger part. The verdict on Host and Origin, and one more hook, are the rest.
- *A new Host.* The limits are times, and this machine is slow and shared. Two expressions, a copy of the text and two objects are made for it. A third of the time is garbage collection.
- *Importing the plugin, and \`ready()\`.* The plugin has 42 modules of its own, and Node's loader takes about a millisecond for each. One large file would load faster, but nobody could read it. The limits are times: when this machine imported Fastify alone in 105 ms of processor time, the plugin added 45 to 60.
- *Rates over the wire.* They change from start to start by more than they are off.

Go's check takes a fifth of the verdict here: it has no list, parses no Host, and is compiled.`

const { values, positionals } = parseArgs({ allowPositionals: true, options: { full: { type: 'boolean' }, guard: { type: 'boolean' } } })
const wanted = positionals.length > 0 ? positionals : values.guard ? GUARDED : PARTS
const sections = []
for (const part of wanted) {
  const { run } = await import(`./parts/${part}.js`)
  const section = await run({ rounds: values.full ? 21 : values.guard ? 5 : 9, full: values.full === true, guard: values.guard === true })
  console.log(`## ${section.title}\n\n${section.text.join('\n\n')}\n\n${targetTable(section.targets)}\n`)
  sections.push(section)
}

const targets = sections.flatMap(section => section.targets)
if (values.guard) guard()
if (values.full && positionals.length === 0) write()
process.exit() // servers that others have started keep a process alive

function targetTable (list) {
  return table(['target', 'measured', 'limit', 'met'], list.map(one => [
    one.name, one.value.toFixed(2), `${one.atLeast ? 'at least' : 'at most'} ${Number(one.limit.toFixed(2))}`, meets(one) ? 'yes' : '**no**'
  ]))
}

function guard () {
  const missed = targets.filter(one => isFarOff(one, SLACK))
  for (const { name, value, reachable } of missed) console.error(`${name}: ${value.toFixed(2)}, more than ${SLACK} times off ${reachable.toFixed(2)}`)
  if (missed.length > 0) process.exit(1)
}

function write () {
  const { version } = createRequire(import.meta.url)('fastify/package.json')
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, ${type()}`
  const intro = [
    '# Benchmarks',
    'What protection costs, side by side. Every figure is a ratio of variants that took turns in one run: the median of the rounds, with their ' +
    'quartiles. Absolute times are given where they help to imagine it; they are this machine\'s. The machine is shared: the same work took up to twice as long from one hour to the next. Ratios are steadier.',
    `Node.js ${process.version}, Fastify ${version}, commit ${commit}, ${new Date().toISOString().slice(0, 10)}; ${machine}.`,
    'Repeat: `npm run bench` (short, a few minutes), `npm run bench -- --full` (these tables), `npm run bench -- request` (one part).',
    '![Cost of a POST with an allowed Origin, as a multiple of bare Fastify](images/benchmarks.svg)'
  ]
  const bodies = sections.map(({ title, text, targets }) => [`## ${title}`, ...text, ...(targets.length > 0 ? ['Targets:', targetTable(targets)] : [])].join('\n\n'))
  writeFileSync(new URL('../docs/benchmarks.md', import.meta.url), [...intro, ...bodies, CHANGED].join('\n\n') + '\n')
  const chart = sections.flatMap(section => section.chart ?? [])
  if (chart.length > 0) {
    const svg = barChart('POST with an allowed Origin: cost as a multiple of bare Fastify', chart)
    writeFileSync(new URL('../docs/images/benchmarks.svg', import.meta.url), svg)
  }
}
