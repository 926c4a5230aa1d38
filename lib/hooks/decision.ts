import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Policy } from '../policy/policy.js'
import type { RouteOverrides } from './route-config.js'
import type { RouteOverride, Settings, Verdict } from '../../types/index.js'

/** What the server decides on a request, its route's overrides heeded. */
export interface Decision {
  verdictOn (request: FastifyRequest): Verdict
  /** @returns which checks the request's route does without, as it says itself or as a health route */
  overrideOf (request: FastifyRequest): RouteOverride
}

/** By Node's server: an encapsulated instance has the same one as the root. */
const decisions = new WeakMap<object, Decision>()

/**
 * Decides by the route that the router matched, never by the text of a URL.
 *
 * @param root - the server that is decided for, so that {@link decisionOf} finds the decision again
 */
export function createDecision (root: FastifyInstance, settings: Settings, policy: Policy, overrides: RouteOverrides): Decision {
  const healthRoutes = new Set(settings.healthRoutes)

  // Fastify rebuilds routeOptions on each read, so requests that pass without an override do not read it.
  const isHealthRoute = (request: FastifyRequest) => healthRoutes.size > 0 && healthRoutes.has(request.routeOptions.url ?? '')

  function overrideOf (request: FastifyRequest): RouteOverride {
    const override = overrides.of(request)
    return override.host !== false && isHealthRoute(request) ? { ...override, host: false } : override
  }

  const decision = Object.freeze({
    overrideOf,
    verdictOn (request: FastifyRequest): Verdict {
      const verdict = policy.inspect(request.raw, request)
      if (verdict.allowed) return verdict
      const override = overrideOf(request)
      return override.host === false || override.origin === false ? policy.inspect(request.raw, request, override) : verdict
    }
  })
  decisions.set(root.server, decision)
  return decision
}

/**
 * @returns what the server of the request decides
 * @throws Error where the plugin is not registered on it
 */
export function decisionOf ({ server }: FastifyRequest): Decision {
  const decision = decisions.get(server.server)
  if (decision === undefined) throw new Error('The plugin is not registered on the server of this request')
  return decision
}
