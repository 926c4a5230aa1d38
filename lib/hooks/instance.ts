import type { FastifyInstance } from 'fastify'
import { AlreadyRegisteredError, CorsAlreadyRegisteredError } from '../settings/errors.js'

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
  const everyone = [...instances, ...descendants(root)]
  if (everyone.some(instance => instance.hasRequestDecorator('corsPreflightEnabled'))) {
    throw new CorsAlreadyRegisteredError('@fastify/cors is registered already, on this instance or on another one of this server. Remove it: ' +
      'fastify-mlflow-security registers it with corsAllowedOrigins (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS) as its origins, and passes ' +
      "further options on: { cors: { maxAge: 600, exposedHeaders: ['etag'] } }.")
  }
}

/** The instances that plugins loaded so far have been encapsulated in: Fastify lists them under a symbol that it keeps to itself. */
function descendants (instance: FastifyInstance): FastifyInstance[] {
  const children = Object.getOwnPropertySymbols(instance).find(({ description }) => description === 'fastify.children')
  const listed: unknown = children && Reflect.get(instance, children)
  return isInstances(listed) ? listed.flatMap(child => [child, ...descendants(child)]) : []
}

function isInstances (value: unknown): value is FastifyInstance[] {
  return Array.isArray(value)
}
