#!/usr/bin/env node
import { main } from './cli/main.js'

/** Wrong flags or settings, or an address that cannot be listened on. */
const WRONG = 2

/** One line that says what is wrong; a stack only where this program itself is. */
function explain (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? `fastify-mlflow-security: ${error.message}` : String(error.stack)
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(WRONG)
}
