import type { RequestHead } from '../../types/index.js'

/** The methods that other sites' pages may use, and that the gateway passes on. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** RFC 9110 §9.2.1, as far as the Fetch standard lets a page send these without asking first. */
export function isSafe (method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'TRACE'
}

/** A CORS preflight (the Fetch standard, §4.9). */
export function isPreflight ({ method, headers }: RequestHead): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}
