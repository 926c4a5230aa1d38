import cors from '@fastify/cors'
import type { FastifyCorsOptions, FastifyCorsOptionsDelegateCallback } from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import { isPreflight } from './policy.js'
import type { Policy } from './policy.js'
import type { CorsOptions } from '../types/index.js'

const DEFAULTS: FastifyCorsOptions = {
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  // A bare OPTIONS is the app's own; @fastify/cors would answer it with 400.
  strictPreflight: false
}

const NO_CORS: FastifyCorsOptions = { origin: false }

/**
 * Adds `@fastify/cors` to the root instance, which `register` on an encapsulated one cannot.
 *
 * @param options - what its users may set beside the origins and credentials
 */
export function addCors (root: FastifyInstance, policy: Policy, options: CorsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    cors(root, { ...options, delegator: createDelegate(policy, options) }, error => error === undefined ? resolve() : reject(error))
  })
}

/** Picks the ready-made `@fastify/cors` options for a request: none, those of an answer, those of a preflight's answer. */
function createDelegate (policy: Policy, options: CorsOptions): FastifyCorsOptionsDelegateCallback {
  const byVerdict = {
    origin: answers({ ...DEFAULTS, ...options, origin: true, credentials: true }),
    // Credentials for every origin there is would hand them to every site there is; browsers refuse the pair as well.
    '*': answers({ ...DEFAULTS, ...options, origin: '*', credentials: false })
  }
  return function corsOptionsFor (request, callback) {
    const verdict = policy.corsFor(request.headers.origin)
    if (verdict === 'none') return callback(null, NO_CORS)
    callback(null, isPreflight(request.raw) ? byVerdict[verdict].toPreflight : byVerdict[verdict].toRequest)
  }
}

function answers (options: FastifyCorsOptions): { toPreflight: FastifyCorsOptions, toRequest: FastifyCorsOptions } {
  return { toPreflight: options, toRequest: { ...options, preflight: false } }
}
