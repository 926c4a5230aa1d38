// The same bytes to an upstream directly and through the gateway: what arrives there and what comes back is the same, but for
// what the gateway is there to change.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { exchange } from '../fixtures/exchanges.js'
import type { Exchange } from '../fixtures/exchanges.js'
import { gateway } from '../fixtures/upstream.js'
import { Client, scriptedUpstream, serialize, valuesOf } from '../fixtures/wire.js'
import type { Answer, Fields, Message, Script } from '../fixtures/wire.js'

// A hundred thousand by hand, some thousands in CI.
const PAIRS = Number(process.env.DIFFERENTIAL_PAIRS ?? 300)

/** Fields that say how a message is framed, or are meant for one hop. */
const HOP = /^(connection|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|content-length)$/i
/** What the gateway writes in requests. */
const TOLD = /^(host|via|x-forwarded-(for|host|proto))$/i
/** What the gateway decides on in answers. */
const DECIDED = /^(x-frame-options|x-content-type-options|vary)$/i

const without = (fields: Fields, names: RegExp) => fields.filter(([name]) => !names.test(name))

/** A request as the upstream should see it. An empty body may come with a length, without one, or in chunks: none of it is a difference. */
function asSeen ({ start, fields, body, trailers }: Message): unknown {
  return { start, fields: without(without(fields, HOP), TOLD), body: body.toString('latin1'), trailers }
}

/** An answer as the client should see it. */
function asGot ({ status, reason, fields, body, trailers, interim }: Answer): unknown {
  return {
    status,
    reason,
    fields: without(without(fields, HOP), DECIDED),
    length: valuesOf(fields, 'content-length'),
    body: body.toString('latin1'),
    trailers,
    interim: interim.map(({ start, fields }) => ({ start, fields }))
  }
}

function scriptOf ({ method, answer }: Exchange, released: Promise<void>): Script {
  const { status, reason, fields, body, framing, trailers, interim, closes, headFirst } = answer
  const { head, pieces } = serialize(`HTTP/1.1 ${status} ${reason}`, closes ? [...fields, ['Connection', 'close']] : fields, body, framing, trailers)
  return {
    interim: interim === undefined ? [] : [serialize('HTTP/1.1 103 Early Hints', interim, Buffer.alloc(0), { kind: 'none' }).head],
    head,
    pieces: method === 'HEAD' ? [] : pieces,
    closes: closes || (framing.kind === 'close' && method !== 'HEAD'),
    ...(headFirst ? { released } : {})
  }
}

t.test('what arrives and what comes back is the same directly and through the gateway', async t => {
  let script = (): Script => { throw new Error('nothing is asked') }
  const upstream = await scriptedUpstream(t, () => script())
  const { port } = await gateway(t, { upstream: `http://127.0.0.1:${upstream.port}`, fastify: { logger: false } })
  const ways = { direct: new Client(upstream.port), through: new Client(port) }
  t.teardown(() => { for (const way of Object.values(ways)) way.close() })

  async function send (way: Client, exchange: Exchange): Promise<{ seen: unknown, got: unknown }> {
    const { method, target, fields, body, framing } = exchange
    let release = (): void => {}
    const released = new Promise<void>(resolve => { release = resolve })
    script = () => scriptOf(exchange, released)
    upstream.seen.length = 0
    const bytes = serialize(`${method} ${target} HTTP/1.1`, [['Host', 'localhost'], ...fields], body, framing)
    const answer = await way.ask(method, bytes, release)
    assert.equal(upstream.seen.length, 1, `asked once, answered ${answer.status}: ${answer.body.toString('latin1', 0, 300)}`)
    return { seen: upstream.seen.map(asSeen), got: asGot(answer) }
  }

  let pairs = 0
  await fc.assert(fc.asyncProperty(exchange, async exchange => {
    const direct = await send(ways.direct, exchange)
    const through = await send(ways.through, exchange)
    assert.deepEqual(through.seen, direct.seen)
    assert.deepEqual(through.got, direct.got)
    pairs++
  }), { numRuns: PAIRS, endOnFailure: process.env.DIFFERENTIAL_SHRINK === undefined })
  t.ok(pairs >= PAIRS, `${pairs} pairs`)
})
