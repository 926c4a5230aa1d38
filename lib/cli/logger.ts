import * as fastify from 'fastify'
import type { FastifyBaseLogger, FastifyServerOptions } from 'fastify'
import { quote } from '../grammar/quote.js'
import { UsageError } from './usage-error.js'

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** As much of a URL as a line shows. */
const MAX_URL = 1000

/** Where a request's logger keeps the request; the loggers that are made from it inherit it. */
const REQUEST = Symbol('request')

/** @throws FST_MLFLOW_SECURITY_USAGE */
export function parseLevel (level = 'info'): string {
  if (!LEVELS.includes(level)) throw new UsageError(`--log-level: ${quote(level)} is none. Allowed: ${LEVELS.join(', ')}.`)
  return level
}

interface RequestHead { readonly method?: string | undefined, readonly url?: string | undefined }

/**
 * The log of the gateway's app: each line of a request has its `method` and `url`, whoever writes it.
 *
 * @param write - takes a line of JSON
 */
export function logOptions (level: string, write: (line: string) => void): LogOptions {
  return {
    ...withoutRequests(fastify),
    logger: { level, stream: { write }, mixin: (fields, _level, logger) => describe(fields, Reflect.get(logger, REQUEST)) },
    // The request is looked at when a line is written: bindings would be made to text for each request.
    childLoggerFactory: (logger, bindings, options, request): FastifyBaseLogger =>
      Object.assign(logger.child(bindings, options), { [REQUEST]: request })
  }
}

type LogOptions = Pick<FastifyServerOptions, 'logger' | 'childLoggerFactory' | 'disableRequestLogging' | 'logController'>

/**
 * Keeps Fastify from its two lines a request: request-log.ts has one.
 *
 * @param fastify - older versions have no LogController; newer ones warn of the option
 */
export function withoutRequests ({ LogController }: { readonly LogController?: typeof fastify.LogController }): LogOptions {
  const options = { disableRequestLogging: true }
  return LogController === undefined ? options : { logController: new LogController(options) }
}

/** A refusal has both already: a name that came twice is no JSON to some readers. */
function describe (fields: object, request: RequestHead | undefined): object {
  if (request === undefined || 'method' in fields) return {}
  return { method: request.method, url: request.url?.slice(0, MAX_URL) }
}

/**
 * Loads what makes readable lines for a terminal.
 *
 * @returns `undefined` where `pino-pretty` is not installed
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
