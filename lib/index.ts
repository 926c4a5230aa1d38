import fp from 'fastify-plugin'
import type { FastifyPluginAsync } from 'fastify'
import { announce } from './announce.js'
import { addCors } from './cors.js'
import { compileFrameAncestors } from './frame-ancestors.js'
import { createGuard } from './guard.js'
import { createHeaderHooks } from './headers.js'
import { lineage, refuseSecondCors, refuseSecondRegistration } from './instance.js'
import { createPolicy } from './policy.js'
import { checkOverride, checkRoute, watchRoutes } from './route-config.js'
import { mlflowSecuritySchema } from './schema.js'
import { resolveSettings } from './settings.js'
import type { MlflowSecurityOptions, RequestHead } from '../types/index.js'

const mlflowSecurity: FastifyPluginAsync<MlflowSecurityOptions> = async (fastify, options) => {
  const server = lineage(fastify)
  const { root } = server

  // Everything that can be wrong is found before anything is added to the server.
  refuseSecondRegistration(server)
  const settings = resolveSettings(options, process.env)
  const policy = createPolicy(settings)
  const ancestors = compileFrameAncestors(settings.frameAncestors)
  if (!settings.disableSecurityMiddleware) refuseSecondCors(server)

  root.decorate('mlflowSecurity', Object.freeze({ settings, inspect: (request: RequestHead) => policy.inspect(request) }))
  const overrides = watchRoutes(server, settings.disableSecurityMiddleware ? checkOverride : checkRoute)
  announce(root, settings, policy)
  if (settings.disableSecurityMiddleware) return

  const headers = createHeaderHooks(settings, ancestors, overrides)
  root.addHook('onRequest', headers.setSecurityHeaders)
  root.addHook('onRequest', createGuard(settings, policy, overrides))
  await addCors(root, settings, policy)
  root.addHook('preParsing', headers.settleFrameOptions)
  if (headers.addFrameAncestors !== undefined) root.addHook('onSend', headers.addFrameAncestors)
}

// CommonJS gets the plugin itself, and by its properties what modules get by name.
const plugin = Object.assign(fp(mlflowSecurity, { fastify: '5.x', name: 'fastify-mlflow-security' }), { mlflowSecuritySchema })

export default plugin
export { mlflowSecuritySchema, plugin as fastifyMlflowSecurity, plugin as 'module.exports' }
export type * from '../types/index.js'
