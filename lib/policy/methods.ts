import type { RequestHead } from '../../types/index.js'

/** The methods that allowed Origins may use. The gateway passes on two more (`PASSED` in lib/gateway/routes.ts). */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** The methods that change nothing (RFC 9110 §9.2.1). Every other one counts as writing, QUERY and unknown ones included. */
export function isSafe (method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'TRACE'
}

/** A CORS preflight (the Fetch standard, §4.9). */
export function isPreflight ({ method, headers }: RequestHead): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}
