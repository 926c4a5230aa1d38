import { inspect } from 'node:util'
import { main } from './main.js'

/** What may be right another time: an address that cannot be listened on, for instance. */
const FAILED = 1
/** Wrong flags or settings. */
const WRONG = 2

/** Milliseconds for what is still to be written. */
const LAST_WORDS = 100

/** Runs the command, and ends the process with its exit code. */
export async function start (args: string[]): Promise<void> {
  try {
    process.exitCode = await main(args)
    setTimeout(() => process.exit(), LAST_WORDS).unref() // a reader that does not read must not keep the process
  } catch (error) {
    // One line that says what is wrong; a stack only where this program itself is.
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    const text = error instanceof Error && code !== undefined ? `fastify-mlflow-security: ${error.message}\n` : `${inspect(error)}\n`
    const status = code === 'FST_MLFLOW_SECURITY_CANNOT_LISTEN' || (error instanceof Error && 'syscall' in error) ? FAILED : WRONG
    process.stderr.write(text, () => process.exit(status))
  }
}
