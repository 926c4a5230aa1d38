import type { FastifyInstance } from 'fastify'
import { AlreadyRegisteredError, CorsAlreadyRegisteredError } from './errors.js'

/**
 * An encapsulated instance inherits from its parent by its prototype (Fastify's documentation, "Encapsulation").
 * A plugin of `fastify-cli` is always encapsulated, and what is protected there has to be the whole server, its 404s
 * included: a Host that is foreign to one route is foreign to all of them.
 *
 * @returns the root instance, and all instances from this one up to the root
 */
export function lineage (fastify: FastifyInstance): { root: FastifyInstance, instances: readonly FastifyInstance[] } {
  const instances = [fastify]
  let root = fastify
  while (!Object.hasOwn(root, 'server')) {
    const parent: FastifyInstance = Object.getPrototypeOf(root)
    instances.push(parent)
    root = parent
  }
  return { root, instances }
}

/**
 * @throws FST_MLFLOW_SECURITY_ALREADY_REGISTERED, FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED
 */
export function refuseSecondRegistration (root: FastifyInstance): void {
  if (root.hasDecorator('mlflowSecurity')) {
    throw new AlreadyRegisteredError('fastify-mlflow-security is registered already. It protects the whole server, whatever instance it is ' +
      'registered on: register it once, with all settings; single routes differ by config.mlflowSecurity.')
  }
  if (root.hasRequestDecorator('corsPreflightEnabled')) {
    throw new CorsAlreadyRegisteredError('@fastify/cors is registered already, and it works once a server only. Remove it: ' +
      'fastify-mlflow-security registers it with corsAllowedOrigins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS) as its origins, and passes ' +
      'further options on: { cors: { maxAge: 600, exposedHeaders: [\'etag\'] } }.')
  }
}
