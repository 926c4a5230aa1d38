import type { FastifyInstance } from 'fastify'
import { DrainingError, StartingError } from './errors.js'

/** Seconds after which clients should try again while the MLflow server starts. */
const RETRY_AFTER = '2'

/** Whether a gateway serves: `draining` answers 503 on its health routes only, `starting` on every route. */
export interface Availability { state: 'serving' | 'starting' | 'draining' }

/**
 * Lets a gateway answer 503 while it starts or ends. Refused requests stay refused.
 *
 * @param gateway - before it is ready
 * @returns the state, which may be set at any time
 */
export function addAvailability (gateway: FastifyInstance): Availability {
  const availability: Availability = { state: 'serving' }
  gateway.addHook('preParsing', (request, reply, _payload, done) => {
    if (availability.state === 'serving') return done()
    if (availability.state === 'starting') {
      reply.header('retry-after', RETRY_AFTER)
      return done(new StartingError())
    }
    const { url = '' } = request.routeOptions
    done(gateway.mlflowSecurity.settings.healthRoutes.includes(url) ? new DrainingError() : null)
  })
  return availability
}
