import type { FastifyInstance } from 'fastify'
import { AlreadyRegisteredError, CorsAlreadyRegisteredError } from './errors.js'
import { nameOf } from '../settings/table.js'

/** An instance and all that it is encapsulated in: itself first, the root last. */
export interface Lineage {
  readonly root: FastifyInstance
  readonly instances: readonly FastifyInstance[]
}

/**
 * An encapsulated instance inherits from its parent by its prototype (Fastify's documentation, "Encapsulation").
 * A plugin of `fastify-cli` is always encapsulated, but the whole server must be protected, 404s included: a Host that is
 * foreign to one route is foreign to all of them.
 */
export function lineage (fastify: FastifyInstance): Lineage {
  const instances = [fastify]
  let root = fastify
  while (!Object.hasOwn(root, 'server')) {
    const parent: FastifyInstance | null = Object.getPrototypeOf(root)
    if (parent === null) throw new Error('This version of Fastify does not keep its server as fastify-mlflow-security expects it')
    instances.push(parent)
    root = parent
  }
  return { root, instances }
}

/** @throws FST_MLFLOW_SECURITY_ALREADY_REGISTERED */
export function refuseSecondRegistration ({ root }: Lineage): void {
  if (root.hasDecorator('mlflowSecurity')) {
    throw new AlreadyRegisteredError('fastify-mlflow-security is registered already. It protects the whole server, on whichever ' +
      'instance you register it. Register it once, with all settings. For single routes, use config.mlflowSecurity.')
  }
}

/**
 * If `@fastify/cors` were added a second time, it would crash the process, with an error that does not say so.
 *
 * @throws FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED
 */
export function refuseSecondCors ({ root, instances }: Lineage): void {
  const everyone = [...instances, ...descendants(root)]
  // @fastify/cors adds this decorator, and nothing else shows that it is there. A test with the real package tells if that changes.
  if (everyone.some(instance => instance.hasRequestDecorator('corsPreflightEnabled'))) {
    throw new CorsAlreadyRegisteredError('@fastify/cors is registered already, on this instance or on another one of this server. Remove it: ' +
      `fastify-mlflow-security registers it with ${nameOf('corsAllowedOrigins')} as its origins, and passes ` +
      "further options on: { cors: { maxAge: 600, exposedHeaders: ['etag'] } }.")
  }
}

/**
 * Fastify keeps the instances of already loaded plugins under a symbol of its own. There is no other way to find them, and
 * without them the config of their routes would go unseen.
 *
 * @throws Error if another version of Fastify keeps the list elsewhere
 */
export function descendants (instance: FastifyInstance): FastifyInstance[] {
  const children = Object.getOwnPropertySymbols(instance).find(({ description }) => description === 'fastify.children')
  const listed: unknown = children && Reflect.get(instance, children)
  if (!isInstances(listed)) throw new Error('This version of Fastify does not list its encapsulated instances as fastify-mlflow-security expects it')
  return listed.flatMap(child => [child, ...descendants(child)])
}

/**
 * Whether routes have been registered already. Only the text of Fastify's route tree tells. An unknown text counts as
 * routes: that costs time, but misses nothing.
 */
export function hasRoutes (root: FastifyInstance): boolean {
  return root.printRoutes() !== '(empty tree)'
}

function isInstances (value: unknown): value is FastifyInstance[] {
  return Array.isArray(value)
}
