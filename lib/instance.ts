import type { FastifyInstance } from 'fastify'
import { AlreadyRegisteredError, CorsAlreadyRegisteredError } from './errors.js'

/** An instance and those that it is encapsulated in, itself first, the root last. */
export interface Lineage {
  readonly root: FastifyInstance
  readonly instances: readonly FastifyInstance[]
}

/**
 * An encapsulated instance inherits from its parent by its prototype (Fastify's documentation, "Encapsulation").
 * A plugin of `fastify-cli` is always encapsulated, and what is protected there has to be the whole server, its 404s
 * included: a Host that is foreign to one route is foreign to all of them.
 */
export function lineage (fastify: FastifyInstance): Lineage {
  const instances = [fastify]
  let root = fastify
  while (!Object.hasOwn(root, 'server')) {
    const parent: FastifyInstance = Object.getPrototypeOf(root)
    instances.push(parent)
    root = parent
  }
  return { root, instances }
}

/** @throws FST_MLFLOW_SECURITY_ALREADY_REGISTERED */
export function refuseSecondRegistration ({ root }: Lineage): void {
  if (root.hasDecorator('mlflowSecurity')) {
    throw new AlreadyRegisteredError('fastify-mlflow-security is registered already. It protects the whole server, whatever instance it is ' +
      'registered on: register it once, with all settings; single routes differ by config.mlflowSecurity.')
  }
}

/**
 * `@fastify/cors` would crash the process where it is added a second time, with an error that says nothing of it.
 *
 * @throws FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED
 */
export function refuseSecondCors ({ root, instances }: Lineage): void {
  const isAround = instances.some(instance => instance.hasRequestDecorator('corsPreflightEnabled'))
  // In a sibling only the route of its own shows it; a catch-all of the app has other methods too.
  const isBeside = root.hasRoute({ method: 'OPTIONS', url: '/*' }) && !root.hasRoute({ method: 'GET', url: '/*' })
  if (isAround || isBeside) {
    throw new CorsAlreadyRegisteredError('@fastify/cors (or a route of its kind, OPTIONS *) is registered already. Remove it: ' +
      'fastify-mlflow-security registers it with corsAllowedOrigins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS) as its origins, and passes ' +
      "further options on: { cors: { maxAge: 600, exposedHeaders: ['etag'] } }.")
  }
}
