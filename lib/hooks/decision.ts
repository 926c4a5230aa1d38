import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Policy } from '../policy/policy.js'
import type { RouteOverrides } from './route-config.js'
import type { FrameOptions, RouteOverride, Settings, Verdict } from '../../types/index.js'

/** Decides on requests, with the overrides of their routes. */
export interface Decision {
  verdictOn (request: FastifyRequest): Verdict
  /** @returns the checks that the request's route turns off, by its config or as a health route */
  overrideOf (request: FastifyRequest): RouteOverride
  /** @returns X-Frame-Options of the request's route, if it has its own */
  frameOptionsOf (request: FastifyRequest): FrameOptions | undefined
}

/** The key is Node's server: encapsulated instances share it with the root. */
const decisions = new WeakMap<object, Decision>()

/**
 * Decides by the route that the router matched, never by the text of a URL.
 *
 * @param root - the server, by which {@link decisionOf} finds the decision again
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
    frameOptionsOf: (request: FastifyRequest) => overrides.of(request).frameOptions,
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
 * @param app - any instance of the server
 * @throws Error if the plugin is not registered on that server
 */
export function decisionOf ({ server }: FastifyInstance): Decision {
  const decision = decisions.get(server)
  if (decision === undefined) throw new Error('The plugin is not registered on this server')
  return decision
}
