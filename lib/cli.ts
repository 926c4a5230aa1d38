#!/usr/bin/env node
import { inspect } from 'node:util'
import { main } from './cli/main.js'

/** What may be right another time: an address that cannot be listened on, for instance. */
const FAILED = 1
/** Wrong flags or settings. */
const WRONG = 2

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  // One line that says what is wrong; a stack only where this program itself is.
  const isCoded = error instanceof Error && 'code' in error
  process.stderr.write(isCoded ? `fastify-mlflow-security: ${error.message}\n` : `${inspect(error)}\n`)
  process.exit(error instanceof Error && 'syscall' in error ? FAILED : WRONG)
}
