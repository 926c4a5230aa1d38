import { createError } from '@fastify/error'
import type { FastifyError } from '@fastify/error'
import { show } from '../settings/errors.js'
import type { Refused } from '../../types/index.js'

// A flood of refused requests must stay cheap: errors that a request can cause capture no stack.
const requestError = (code: string, statusCode: number) => createError<[string]>(code, '%s', statusCode, Error, false)
const startError = (code: string) => createError<[string]>(code, '%s', 500)

export const HostNotAllowedError = requestError('FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 403)
export const HostMalformedError = requestError('FST_MLFLOW_SECURITY_HOST_MALFORMED', 400)
export const CrossOriginError = requestError('FST_MLFLOW_SECURITY_CROSS_ORIGIN', 403)

export const InvalidRouteConfigError = startError('FST_MLFLOW_SECURITY_INVALID_ROUTE_CONFIG')
export const AlreadyRegisteredError = startError('FST_MLFLOW_SECURITY_ALREADY_REGISTERED')
export const CorsAlreadyRegisteredError = startError('FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED')

/** @returns the error that Fastify's error pipeline gets for a refused request */
export function refusalError ({ code, message }: Refused): FastifyError {
  switch (code) {
    case 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED': return new HostNotAllowedError(message)
    case 'FST_MLFLOW_SECURITY_HOST_MALFORMED': return new HostMalformedError(message)
    case 'FST_MLFLOW_SECURITY_CROSS_ORIGIN': return new CrossOriginError(message)
  }
}

/**
 * @param url - the route
 * @param unknown - a key of the value that no override has
 */
export function invalidRouteConfig (url: string, key: string, value: unknown, allowed: string, unknown?: string): FastifyError {
  const what = unknown === undefined ? '' : `, and there is no ${show(unknown)}`
  return new InvalidRouteConfigError(`Route ${show(url)}: config.${key} is ${show(value)}${what}. Allowed: ${allowed}.`)
}

/** @param url - the route */
export function lateRouteConfig (url: string, key: string, value: unknown): FastifyError {
  return new InvalidRouteConfigError(`Route ${show(url)}: config.${key} was changed to ${show(value)} after the route was registered, and Fastify ` +
    'keeps the config as it was then. Set it before, with a config object for each route, or in an onRoute hook.')
}
