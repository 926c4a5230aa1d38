import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import { refusalError } from '../settings/errors.js'
import { hangUpAfter } from './hang-up.js'
import type { Exemption, Policy } from '../policy/policy.js'
import { reportRefusal } from './report.js'
import type { RouteOverrides } from './route-config.js'
import type { Settings, Verdict } from '../../types/index.js'

/** The onRequest hook that refuses foreign Hosts and Origins. */
export function createGuard (settings: Settings, policy: Policy, overrides: RouteOverrides): onRequestHookHandler {
  const healthRoutes = new Set(settings.healthRoutes)

  function verdictOn (request: FastifyRequest): Verdict {
    const verdict = policy.inspect(request.raw, request.host)
    if (verdict.allowed) return verdict
    const exemption = exemptionOf(request)
    return exemption.host || exemption.origin ? policy.inspect(request.raw, request.host, exemption) : verdict
  }

  function exemptionOf (request: FastifyRequest): Exemption {
    const { host, origin } = overrides.of(request)
    return { host: host || isHealthRoute(request), origin }
  }

  // A request's `routeOptions` are dear.
  const isHealthRoute = (request: FastifyRequest) => healthRoutes.size > 0 && healthRoutes.has(request.routeOptions.url ?? '')

  return function refuseForeignRequest (request, reply, done) {
    const verdict = verdictOn(request)
    if (verdict.allowed) return done()
    reportRefusal(request, verdict, settings.reportOnly)
    if (settings.reportOnly) return done()
    hangUpAfter(request, reply)
    done(refusalError(verdict))
  }
}
