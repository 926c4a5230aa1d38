import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { pluginOptions, resolveGatewayOptions } from './gateway/options.js'
import type { GatewayOptions, GatewayPluginOptions } from './gateway/options.js'
import { gatewayPlugin } from './gateway/plugin.js'
import { answerUnlessHandled } from './gateway/error-answers.js'
import { createApp, hangUpWhenClosing, limitHttp2Headers } from './gateway/server.js'
import mlflowSecurity from './index.js'

export type { GatewayOptions, GatewayPluginOptions }

/**
 * The gateway as a Fastify plugin. It passes every allowed request on to an MLflow server as it was sent, and the answer back.
 * Register it last, after logins and limits. `createGateway` makes an app with the server options that it needs. In another
 * app it warns about missing ones.
 *
 * @example await app.register(mlflowGateway, { upstream: 'http://127.0.0.1:5000', allowedHosts: 'mlflow.company.com' })
 */
export default gatewayPlugin

/**
 * Creates a gateway in front of an MLflow server: a Fastify app with the checks, then what `before` adds, then the gateway. It
 * does not listen yet. Hooks that you add to it later still run before MLflow is asked. Plugins would not, so they are refused.
 *
 * @returns the app; its `ready()` and `listen()` throw if a setting of the plugin is wrong
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION if a setting of the gateway itself or `trustProxy` is wrong
 * @example await createGateway({ upstream: 'http://127.0.0.1:5000', allowedHosts: 'mlflow.company.com' }).listen({ port: 8080 })
 */
export function createGateway (options: GatewayOptions = {}): FastifyInstance {
  const { security } = resolveGatewayOptions(options, process.env)
  const { before } = options
  const app = createApp(options)
  hangUpWhenClosing(app, options.tls !== undefined)
  if (options.tls !== undefined) limitHttp2Headers(app, options.fastify?.http?.maxHeaderSize)
  app.addHook('onRoute', route => { route.errorHandler ??= answerUnlessHandled })
  app.register(mlflowSecurity, security)
  if (before !== undefined) app.register(fp(async app => { await before(app) }, { name: 'before' }))
  app.register(gatewayPlugin, pluginOptions(options))
  return app
}
