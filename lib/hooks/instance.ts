import type { FastifyInstance } from 'fastify'
import { AlreadyRegisteredError, CorsAlreadyRegisteredError } from './errors.js'
import { nameOf } from '../settings/table.js'

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
      `fastify-mlflow-security registers it with ${nameOf('corsAllowedOrigins')} as its origins, and passes ` +
      "further options on: { cors: { maxAge: 600, exposedHeaders: ['etag'] } }.")
  }
}

/**
 * Fastify lists the instances that plugins loaded so far are encapsulated in under a symbol of its own, and has no other way to
 * them. Without them, settings of theirs would go unseen.
 *
 * @throws Error where another version of Fastify keeps the list elsewhere
 */
export function descendants (instance: FastifyInstance): FastifyInstance[] {
  const children = Object.getOwnPropertySymbols(instance).find(({ description }) => description === 'fastify.children')
  const listed: unknown = children && Reflect.get(instance, children)
  if (!isInstances(listed)) throw new Error('This version of Fastify does not list its encapsulated instances as fastify-mlflow-security expects it')
  return listed.flatMap(child => [child, ...descendants(child)])
}

/**
 * Whether routes have been registered already. Fastify tells that by the text of its route tree alone; a text that is not
 * the known one counts as routes, which costs time and misses nothing.
 */
export function hasRoutes (root: FastifyInstance): boolean {
  return root.printRoutes() !== '(empty tree)'
}

function isInstances (value: unknown): value is FastifyInstance[] {
  return Array.isArray(value)
}
