import { loadPretty } from './logger.js'
import { createOutput } from './output.js'
import type { Output } from './output.js'

/** What the command writes to. */
export interface Outputs {
  /** The standard output, for the log. */
  readonly log: Output
  /** The standard error, for the output of a child. */
  readonly errors: Output
}

/** Terminals obey these like escape sequences. Requests can carry them, and JSON does not escape them. */
const CONTROLS = /[\x7f-\x9f]/g

function withoutControls (text: string): string {
  return text.replace(CONTROLS, character => `\\u00${character.charCodeAt(0).toString(16)}`)
}

/** @returns the outputs, and the function that takes a log line: it writes JSON, or readable text on a terminal */
export async function openOutputs (): Promise<Outputs & { format (line: string): void }> {
  const pretty = process.stdout.isTTY ? await loadPretty() : undefined
  const format = (line: string): void => log.write(withoutControls(pretty === undefined ? line : pretty(line)))
  const log = createOutput(process.stdout, lost => format(`${JSON.stringify({
    level: 40, time: Date.now(), pid: process.pid, dropped: lost, msg: `${lost} lines of the log could not be written and are lost`
  })}\n`))
  return { log, errors: createOutput(process.stderr), format }
}
