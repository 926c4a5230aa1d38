import { loadPretty } from './logger.js'
import { createOutput } from './output.js'
import type { Output } from './output.js'

/** What the command writes to. */
export interface Outputs {
  /** The standard output, which has the log. */
  readonly log: Output
  /** The standard error, which has what a child says. */
  readonly errors: Output
}

/** @returns the outputs, and what takes a line of the log: as JSON, or as a person reads it on a terminal */
export async function openOutputs (): Promise<Outputs & { format (line: string): void }> {
  const pretty = process.stdout.isTTY ? await loadPretty() : undefined
  const format = (line: string): void => log.write(pretty === undefined ? line : pretty(line))
  const log = createOutput(process.stdout, lost => format(`${JSON.stringify({
    level: 40, time: Date.now(), pid: process.pid, dropped: lost, msg: `${lost} lines of the log could not be written, and are lost`
  })}\n`))
  return { log, errors: createOutput(process.stderr), format }
}
