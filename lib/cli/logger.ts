import type { FastifyServerOptions } from 'fastify'
import { UsageError } from './usage-error.js'
import { quote } from '../grammar/quote.js'

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/**
 * Readable lines for a terminal, where `pino-pretty` is installed; JSON lines for everything else.
 *
 * @throws FST_MLFLOW_SECURITY_USAGE
 */
export function loggerOptions (level = 'info', isTerminal: boolean): NonNullable<FastifyServerOptions['logger']> {
  if (!LEVELS.includes(level)) throw new UsageError(`--log-level: ${quote(level)} is none. Allowed: ${LEVELS.join(', ')}.`)
  const pretty = { target: 'pino-pretty', options: { translateTime: 'HH:MM:ss', ignore: 'pid,hostname' } }
  return isTerminal && isInstalled(pretty.target) ? { level, transport: pretty } : { level }
}

function isInstalled (name: string): boolean {
  try {
    import.meta.resolve(name)
    return true
  } catch {
    return false
  }
}
