import fp from 'fastify-plugin'
import type { FastifyPluginAsync } from 'fastify'
import { announce } from './hooks/announce.js'
import { addCors } from './hooks/cors.js'
import { compile } from './hooks/compile.js'
import { createDecision } from './hooks/decision.js'
import { createGuard } from './hooks/guard.js'
import { createHeaderHooks } from './hooks/headers.js'
import { lineage, refuseSecondCors, refuseSecondRegistration } from './hooks/instance.js'
import { checkOverride, checkRoute, watchRoutes } from './hooks/route-config.js'
import { mlflowSecuritySchema } from './settings/table.js'
import { resolveSettings } from './settings/resolve.js'
import type { MlflowSecurityOptions, RequestHead } from '../types/index.js'

const mlflowSecurity: FastifyPluginAsync<MlflowSecurityOptions> = async (fastify, options) => {
  const server = lineage(fastify)
  const { root } = server

  // Everything that can be wrong is found before anything is added to the server.
  refuseSecondRegistration(server)
  const settings = resolveSettings(options, process.env)
  const compiled = compile(settings)
  const { policy, ancestors } = compiled
  if (!settings.disableSecurityMiddleware) refuseSecondCors(server)

  root.decorate('mlflowSecurity', Object.freeze({ settings, inspect: (request: RequestHead) => policy.inspect(request) }))
  const overrides = watchRoutes(server, settings.disableSecurityMiddleware ? checkOverride : checkRoute)
  const decision = createDecision(root, settings, policy, overrides)
  await announce(root, settings, compiled)
  if (settings.disableSecurityMiddleware) return

  const headers = createHeaderHooks(settings, ancestors, overrides)
  root.addHook('onRequest', headers.setSecurityHeaders)
  root.addHook('onRequest', createGuard(decision, settings.reportOnly))
  addCors(root, settings, policy)
  root.addHook('preParsing', headers.settleFrameOptions)
  if (headers.addFrameAncestors !== undefined) root.addHook('onSend', headers.addFrameAncestors)
}

// CommonJS gets the plugin itself, and by its properties what modules get by name.
const plugin = Object.assign(fp(mlflowSecurity, { fastify: '5.x', name: 'fastify-mlflow-security' }), { mlflowSecuritySchema })

export default plugin
export { mlflowSecuritySchema, plugin as fastifyMlflowSecurity, plugin as 'module.exports' }
export type * from '../types/index.js'
