import { createError } from '@fastify/error'
import type { FastifyError } from '@fastify/error'
import { EntryProblem } from '../grammar/host-pattern.js'
import { MAX_QUOTED, quote } from '../grammar/quote.js'
import { describeOption, optionNames, variableNames } from './schema.js'
import type { OptionDescription, OptionName } from './schema.js'
import type { Refused } from '../../types/index.js'

// A flood of refused requests must stay cheap: errors that a request can cause capture no stack.
const requestError = (code: string, statusCode: number) => createError<[string]>(code, '%s', statusCode, Error, false)
const startError = (code: string) => createError<[string]>(code, '%s', 500)

export const HostNotAllowedError = requestError('FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 403)
export const HostMalformedError = requestError('FST_MLFLOW_SECURITY_HOST_MALFORMED', 400)
export const CrossOriginError = requestError('FST_MLFLOW_SECURITY_CROSS_ORIGIN', 403)

export const InvalidOptionError = startError('FST_MLFLOW_SECURITY_INVALID_OPTION')
export const UnknownOptionError = startError('FST_MLFLOW_SECURITY_UNKNOWN_OPTION')
export const InvalidRouteConfigError = startError('FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG')
export const AlreadyRegisteredError = startError('FST_MLFLOW_SECURITY_ALREADY_REGISTERED')
export const CorsAlreadyRegisteredError = startError('FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED')

export const UsageError = startError('FST_MLFLOW_SECURITY_USAGE')
/** What may be right another time: systemd and others try again. */
export const ListenError = startError('FST_MLFLOW_SECURITY_CANNOT_LISTEN')
export const MissingDependencyError = startError('FST_MLFLOW_SECURITY_MISSING_DEPENDENCY')

const gatewayError = (code: string, message: string, statusCode: number) => createError(code, message, statusCode, Error, false)

export const UpstreamUnreachableError = gatewayError('FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE',
  'The MLflow server behind this gateway cannot be reached, or gives no answer that makes sense. Is it running? The gateway\'s log says more.', 502)
export const UpstreamTimeoutError = gatewayError('FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT',
  'The MLflow server behind this gateway has not answered in time. The limit is upstreamTimeout (--upstream-timeout).', 504)
export const LoopError = gatewayError('FST_MLFLOW_SECURITY_LOOP',
  'The upstream of this gateway leads back to it. upstream (MLFLOW_TRACKING_URI, --upstream) has to name the MLflow server itself.', 508)
export const AmbiguousPathError = gatewayError('FST_MLFLOW_SECURITY_AMBIGUOUS_PATH',
  'A path that does not begin with one slash, or has a backslash, a "#" or a segment of dots, is not passed on: others would read another path.', 400)
export const BodyNotAllowedError = gatewayError('FST_MLFLOW_SECURITY_BODY_NOT_ALLOWED',
  'A GET or HEAD request with a body cannot be passed on. Send its parameters in the query.', 400)

export const StartingError = gatewayError('FST_MLFLOW_SECURITY_STARTING',
  'The MLflow server behind this gateway is starting. Try again in a few seconds.', 503)
export const DrainingError = gatewayError('FST_MLFLOW_SECURITY_DRAINING',
  'This gateway is about to end (SIGTERM, --drain-delay). Send new requests to another one.', 503)

/** @returns the error that Fastify's error pipeline gets for a refused request */
export function refusalError ({ code, message }: Refused): FastifyError {
  switch (code) {
    case 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED': return new HostNotAllowedError(message)
    case 'FST_MLFLOW_SECURITY_HOST_MALFORMED': return new HostMalformedError(message)
    case 'FST_MLFLOW_SECURITY_CROSS_ORIGIN': return new CrossOriginError(message)
  }
}

/**
 * @param value - the value, or the one entry of it that is wrong
 * @param problem - an {@link EntryProblem} or the reason in words; any other error is returned as it is
 */
export function invalidOption (option: OptionName | OptionDescription, value: unknown, problem: unknown, suggestion?: string): unknown {
  if (typeof problem !== 'string' && !(problem instanceof EntryProblem)) return problem
  const reason = typeof problem === 'string' ? problem : problem.message
  const fix = typeof problem === 'string' ? suggestion : problem.fix
  const { name, allowed } = typeof option === 'string' ? describeOption(option) : option
  return new InvalidOptionError(`${name}: ${show(value)} ${reason}. Allowed: ${allowed}.${fix ? ` Did you mean ${show(fix)}?` : ''}`)
}

export function missingOption ({ name, allowed }: OptionDescription): FastifyError {
  return new InvalidOptionError(`${name} is missing. It is ${allowed}.`)
}

export function unknownOption (option: string, meant: string | undefined): FastifyError {
  return new UnknownOptionError(`Unknown option ${show(option)}.${meant === undefined ? '' : ` Did you mean ${show(meant)}?`} ` +
    `Allowed: ${optionNames.join(', ')}, and the environment names ${variableNames.join(', ')}. ` +
    'Other names in capitals, as a configuration read from the environment has them, are left alone.')
}

/** @param url - the route */
export function invalidRouteConfig (url: string, key: string, value: unknown, allowed: string): FastifyError {
  return new InvalidRouteConfigError(`Route ${show(url)}: config.${key} is ${show(value)}. Allowed: ${allowed}.`)
}

function show (value: unknown): string {
  if (typeof value === 'string') return quote(value)
  return (JSON.stringify(value) ?? String(value)).slice(0, MAX_QUOTED)
}
