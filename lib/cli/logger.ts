import * as fastify from 'fastify'
import type { FastifyBaseLogger, FastifyServerOptions } from 'fastify'
import { quote } from '../grammar/quote.js'
import { gatewayFlags } from './flags.js'
import { UsageError } from './errors.js'

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** The most characters of a URL in a log line. */
const MAX_URL = 1000

/** Where a request's logger keeps the request. Child loggers inherit it. */
const REQUEST = Symbol('request')

/** @throws FST_MLFLOW_SECURITY_USAGE */
export function parseLevel (level: string = gatewayFlags['log-level'].byDefault): string {
  if (!LEVELS.includes(level)) throw new UsageError(`--log-level: ${quote(level)} is not a level. Allowed: ${LEVELS.join(', ')}.`)
  return level
}

interface RequestHead { readonly method?: string | undefined, readonly url?: string | undefined }

/**
 * The log of the gateway's app. Each line about a request has its `method` and `url`, whichever plugin writes it.
 *
 * @param write - takes a line of JSON
 */
export function logOptions (level: string, write: (line: string) => void): LogOptions {
  return {
    ...withoutRequests(fastify),
    logger: { level, stream: { write }, mixin: (fields, _level, logger) => describe(fields, Reflect.get(logger, REQUEST)) },
    // Read when a line is written. Bindings would be serialised for each request.
    childLoggerFactory: (logger, bindings, options, request): FastifyBaseLogger =>
      Object.assign(logger.child(bindings, options), { [REQUEST]: request })
  }
}

type LogOptions = Pick<FastifyServerOptions, 'logger' | 'childLoggerFactory' | 'disableRequestLogging' | 'logController'>

/**
 * Turns off the two lines that Fastify writes for each request. request-log.ts writes one.
 *
 * @param fastify - older versions have no LogController, newer ones warn about the option
 */
export function withoutRequests ({ LogController }: { readonly LogController?: typeof fastify.LogController }): LogOptions {
  const options = { disableRequestLogging: true }
  return LogController === undefined ? options : { logController: new LogController(options) }
}

/** A refusal has both fields already. Some JSON readers refuse a name that comes twice. */
function describe (fields: object, request: RequestHead | undefined): object {
  if (request === undefined || 'method' in fields) return {}
  return { method: request.method, url: request.url?.slice(0, MAX_URL) }
}

/**
 * Loads the formatter that makes readable lines for a terminal.
 *
 * @returns `undefined` if `pino-pretty` is not installed
 */
export async function loadPretty (): Promise<((line: string) => string) | undefined> {
  try {
    const { prettyFactory } = await import('pino-pretty')
    const format = prettyFactory({
      translateTime: 'HH:MM:ss', ignore: 'pid,hostname,method,url', messageFormat: '{if method}{method} {url}: {end}{msg}'
    })
    return line => format(line)
  } catch {
    return undefined
  }
}
