import { PassThrough, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createOutput } from '../../lib/cli/output.js'

t.test('lines of one turn are one write', async t => {
  const written: string[] = []
  const stream = new Writable({ write (chunk, _encoding, done) { written.push(String(chunk)); done() } })
  const output = createOutput(stream)
  output.write('a\n')
  output.write('b\n')
  t.strictSame(written, [])
  await turn()
  t.strictSame(written, ['a\nb\n'])
  output.write('c\n')
  await output.finish()
  t.strictSame(written, ['a\nb\n', 'c\n'])
  await output.finish()
  output.flush()
  t.equal(output.dropped, 0)
})

t.test('what cannot be written is counted, and told when it can', async t => {
  const written: string[] = []
  const told: number[] = []
  let isFull = true
  const stream = new Writable({
    autoDestroy: false,
    write (chunk, _encoding, done) {
      if (isFull) return done(new Error('ENOSPC'))
      written.push(String(chunk))
      done()
    }
  })
  // As process.stdout does, which takes back its own end after each error.
  const undestroyed = { write: stream.write.bind(stream), on: stream.on.bind(stream), get writableLength () { return 0 } }
  const output = createOutput({
    ...undestroyed,
    write (chunk: unknown, done: unknown) {
      if (typeof done === 'function') done(isFull ? new Error('ENOSPC') : null)
      if (!isFull) written.push(String(chunk))
      return true
    }
  } as unknown as Writable, lost => told.push(lost))
  for (const line of ['a\n', 'b\n']) output.write(line)
  await output.finish()
  t.equal(output.dropped, 2)
  isFull = false
  output.write('c\n')
  await output.finish()
  t.strictSame(written, ['\nc\n'], 'a line of its own, whatever a full disk has cut off')
  t.strictSame(told, [2])
  output.write('d\n')
  await output.finish()
  t.strictSame(told, [2], 'once')
})

t.test('a reader that does not read costs lines and no memory, and is not waited for', async t => {
  const stream = new PassThrough({ highWaterMark: 1 })
  const told: number[] = []
  const output = createOutput(stream, lost => told.push(lost))
  const line = `${'x'.repeat(1023)}\n`
  for (let i = 0; i < 2000; i++) output.write(line)
  await turn()
  for (let i = 0; i < 2000; i++) output.write(line)
  const { dropped } = output
  t.ok(dropped > 2000 && dropped < 4000, `${dropped} of 4000`)
  const begun = Date.now()
  await output.finish()
  t.ok(Date.now() - begun >= 900, 'a second at most')
  stream.resume()
  output.write('again\n')
  await output.finish()
  t.strictSame(told, [output.dropped])
})

t.test('an error event of the stream stops nothing, nor does nobody who wants to know of lost lines', async t => {
  const stream = new PassThrough()
  const written: unknown[] = []
  let isFull = true
  const output = createOutput({
    on: stream.on.bind(stream),
    writableLength: 0,
    write (chunk: unknown, done: unknown) {
      if (!isFull) written.push(chunk)
      if (typeof done === 'function') done(isFull ? new Error('ENOSPC') : null)
      return true
    }
  })
  t.doesNotThrow(() => stream.emit('error', new Error('EPIPE')))
  output.write('a\n')
  await output.finish()
  isFull = false
  output.write('b\n')
  await output.finish()
  t.equal(output.dropped, 1)
  t.strictSame(written, ['\nb\n'])
})
