import type { FastifyError } from '@fastify/error'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Decision } from './decision.js'
import { refusalError } from './errors.js'
import { endUpgrade } from './end-upgrade.js'
import { reportRefusal } from './report.js'

/**
 * Refuses foreign Hosts and Origins.
 *
 * @returns the error for Fastify's error pipeline; `undefined` if the request goes on
 */
export type Guard = (request: FastifyRequest, reply: FastifyReply) => FastifyError | undefined

/** @param reportOnly - report what would be refused, and let it pass */
export function createGuard ({ verdictOn }: Decision, reportOnly: boolean): Guard {
  return function refuseForeignRequest (request, reply) {
    const verdict = verdictOn(request)
    if (verdict.allowed) return undefined
    reportRefusal(request, verdict, reportOnly)
    if (reportOnly) return undefined
    endUpgrade(request, reply)
    // A cache that stores answers by path would serve the refusal to the next person.
    reply.header('cache-control', 'no-store')
    return refusalError(verdict)
  }
}
