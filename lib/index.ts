import fp from 'fastify-plugin'
import type { FastifyPluginAsync } from 'fastify'
import { announce } from './hooks/announce.js'
import { createCors } from './hooks/cors.js'
import { compile } from './hooks/compile.js'
import { createDecision } from './hooks/decision.js'
import { createGuard } from './hooks/guard.js'
import { createHeaderHooks } from './hooks/security-headers.js'
import { createHandOver } from './hooks/middleware.js'
import { lineage, refuseSecondCors, refuseSecondRegistration } from './hooks/instance.js'
import { checkOverride, checkRoute, watchRoutes } from './hooks/route-config.js'
import { mlflowSecuritySchema } from './settings/table.js'
import { resolveSettings } from './settings/resolve.js'
import type { MlflowSecurityOptions, RequestHead } from '../types/index.js'

/**
 * Protects the whole server, on whichever instance it is registered: refuses foreign Hosts and Origins, and sets the headers.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_UNKNOWN_OPTION, FST_MLFLOW_SECURITY_ALREADY_REGISTERED,
 *   FST_MLFLOW_SECURITY_CORS_ALREADY_REGISTERED
 * @example await fastify.register(mlflowSecurity, { allowedHosts: '@default,mlflow.company.com' })
 */
const mlflowSecurity: FastifyPluginAsync<MlflowSecurityOptions> = async (fastify, options) => {
  const server = lineage(fastify)
  const { root } = server

  // Find every mistake before anything is added to the server.
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

  const { setSecurityHeaders, settleFrames, completeHeaders } = createHeaderHooks(settings, ancestors, overrides)
  const refuseForeignRequest = createGuard(decision, settings.reportOnly)
  const answerCors = createCors(settings, policy, overrides)
  const handOver = createHandOver(root)

  root.addHook('onRequest', function protect (request, reply, done) {
    setSecurityHeaders(request, reply)
    const refusal = refuseForeignRequest(request, reply)
    if (refusal !== undefined) return done(refusal)
    if (answerCors(request, reply)) return
    handOver(reply)
    done()
  })
  root.addHook('preParsing', settleFrames)
  root.addHook('onSend', completeHeaders)
  root.addHook('onReady', async () => refuseSecondCors(server))
}

// `require` returns the plugin itself. Its properties are what modules import by name.
const plugin = Object.assign(fp(mlflowSecurity, { fastify: '5.x', name: 'fastify-mlflow-security' }), { mlflowSecuritySchema })

export default plugin
export { mlflowSecuritySchema, plugin as fastifyMlflowSecurity, plugin as 'module.exports' }
export type * from '../types/index.js'
