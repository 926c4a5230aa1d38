import { isatty } from 'node:tty'
import { inspect } from 'node:util'
import { noteHangUps } from './signals.js'

/** The exit code if the same command may work later, for instance when its port is free again. */
const FAILED = 1
/** The exit code for wrong flags or settings. */
const WRONG = 2

/** How long pending output may take to be written, in milliseconds. */
const LAST_WORDS = 100

/** The commands that end by SIGHUP like any program. For the gateway it means "read your certificate again". */
const ENDED_BY_HANG_UP = new Set(['check', 'audit'])

/** Runs the command, and ends the process with its exit code. */
export async function start (args: string[]): Promise<void> {
  if (!isatty(0) && !ENDED_BY_HANG_UP.has(String(args[0]))) noteHangUps()
  try {
    const { main } = await import('./main.js') // it takes a while
    process.exitCode = await main(args)
    setTimeout(() => process.exit(), LAST_WORDS).unref() // a reader that is stuck must not keep the process alive
  } catch (error) {
    // One line that says what is wrong. A stack only if the fault is in this program.
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    const text = error instanceof Error && code !== undefined ? `fastify-mlflow-security: ${error.message}\n` : `${inspect(error)}\n`
    const status = code === 'FST_MLFLOW_SECURITY_CANNOT_LISTEN' || (error instanceof Error && 'syscall' in error) ? FAILED : WRONG
    process.stderr.write(text, () => process.exit(status))
  }
}
