import type { Writable } from 'node:stream'

/** Characters that may wait for a reader that is slow or gone; what comes then is dropped. */
const LIMIT = 1 << 20
/** How long the end of the process waits for a reader, in milliseconds. */
const PATIENCE = 1000

/** Where lines go that must never stop the process, or a request: the log, and what a child says. */
export interface Output {
  /** Takes one line or more, newlines included. Never throws, never blocks on a reader. */
  write (lines: string): void
  /** Hands over what waits, at once. */
  flush (): void
  /** Waits, for a second at most, until everything is written. */
  finish (): Promise<void>
  /** How many lines could not be written. */
  readonly dropped: number
}

/**
 * A full disk, a closed pipe or one that nobody reads costs lines, which are counted, and nothing else. (sonic-boom, pino's
 * own destination, retries a full disk for ever when it is told to flush.)
 *
 * @param stream - `process.stdout` or `process.stderr`
 * @param onRecovered - called with the number of lines lost when writing works again
 */
export function createOutput (
  stream: Pick<Writable, 'write' | 'on' | 'writableLength'>, onRecovered: (dropped: number) => void = () => {}
): Output {
  let waiting = ''
  let count = 0
  let isFailing = false
  let dropped = 0
  let told = 0
  let unwritten = 0
  let whenWritten = (): void => {}

  const settled = (): void => { if (unwritten === 0) whenWritten() }

  const settle = (lines: number, error: Error | null | undefined): void => {
    unwritten--
    isFailing = error !== null && error !== undefined
    if (isFailing) dropped += lines
    else if (dropped > told && unwritten === 0) {
      const lost = dropped - told
      told = dropped
      onRecovered(lost)
    }
    settled()
  }
  const flush = (): void => {
    if (waiting === '') return
    const lines = count
    // What a full disk has cut off must not run into the next line.
    const text = isFailing ? `\n${waiting}` : waiting
    waiting = ''
    count = 0
    unwritten++
    stream.write(text, error => settle(lines, error))
  }
  stream.on('error', () => {}) // the callback of the write has it too

  return {
    write (lines) {
      if (stream.writableLength + waiting.length + lines.length > LIMIT) {
        dropped++
        return
      }
      if (waiting === '') setImmediate(flush) // one write for all lines of this turn of the event loop
      waiting += lines
      count++
    },
    flush,
    async finish () {
      flush()
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, PATIENCE)
        whenWritten = () => { clearTimeout(timer); resolve() }
        settled()
      })
    },
    get dropped () { return dropped }
  }
}
