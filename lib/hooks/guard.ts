import type { onRequestHookHandler } from 'fastify'
import type { Decision } from './decision.js'
import { refusalError } from './errors.js'
import { hangUpAfter } from './hang-up.js'
import { reportRefusal } from './report.js'

/**
 * The onRequest hook that refuses foreign Hosts and Origins.
 *
 * @param reportOnly - tells of what it would refuse, and lets it pass
 */
export function createGuard ({ verdictOn }: Decision, reportOnly: boolean): onRequestHookHandler {
  return function refuseForeignRequest (request, reply, done) {
    const verdict = verdictOn(request)
    if (verdict.allowed) return done()
    reportRefusal(request, verdict, reportOnly)
    if (reportOnly) return done()
    hangUpAfter(request, reply)
    done(refusalError(verdict))
  }
}
