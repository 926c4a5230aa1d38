import type { Writable } from 'node:stream'

/** The most characters that wait for a slow reader. What comes after that is dropped. */
const LIMIT = 1 << 20
/** How long the process waits for a slow reader before it ends, in milliseconds. */
const PATIENCE = 1000

/** Takes lines that must never stop the process or a request: the log, and the output of a child. */
export interface Output {
  /** Takes one line or more, newlines included. Never throws, never blocks on a reader. */
  write (lines: string): void
  /** Writes at once what is waiting. */
  flush (): void
  /** Waits, for a second at most, until everything is written. */
  finish (): Promise<void>
  /** How many lines could not be written. */
  readonly dropped: number
}

/**
 * On a full disk, a closed pipe or a pipe that nobody reads, lines are dropped and counted, and nothing else happens.
 * (sonic-boom, pino's own destination, retries for ever when it is told to flush on a full disk.)
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
    // A full disk may have cut the last line off. The next one must not run into it.
    const text = isFailing ? `\n${waiting}` : waiting
    waiting = ''
    count = 0
    unwritten++
    stream.write(text, error => settle(lines, error))
  }
  stream.on('error', () => {}) // the callback of the write gets it too

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
