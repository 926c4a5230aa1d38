import type { IncomingMessage, ServerOptions } from 'node:http'
import type { Socket } from 'node:net'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { invalidOption } from './settings/errors.js'
import { resolveGatewayOptions } from './gateway/options.js'
import type { GatewayOptions } from './gateway/options.js'
import { addProxy, continueWhenAllowed } from './gateway/proxy.js'
import { isWebSocket } from './gateway/upgrade.js'
import mlflowSecurity from './index.js'

export type { GatewayOptions }

const TRUST_PROXY = {
  name: 'trustProxy (--trust-proxy)',
  allowed: 'addresses and ranges of the proxies in front (127.0.0.1, 10.0.0.0/8), loopback, linklocal, uniquelocal'
}

/**
 * Creates a gateway in front of an MLflow server: a Fastify app with the plugin, and a proxy behind it. It does not listen
 * yet: plugins, hooks and routes that are added to it come before the proxy, so that they can ask for a login or limit
 * the rate of requests.
 *
 * @returns the app; wrong settings of the plugin surface from its `ready()` and `listen()`
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION where a setting of the gateway itself or `trustProxy` is wrong
 */
export function createGateway (options: GatewayOptions = {}): FastifyInstance {
  const settings = resolveGatewayOptions(options, process.env)
  const app = createApp(options)
  hangUpWhenClosing(app, options.tls === undefined ? 'connection' : 'secureConnection')
  app.register(mlflowSecurity, settings.security)
  beforeReady(app, () => {
    continueWhenAllowed(app)
    app.register(instance => addProxy(instance, settings))
  })
  return app
}

function createApp ({ fastify, tls }: GatewayOptions): FastifyInstance {
  // Java's client asks for h2c on every first request: only a WebSocket is worth an upgrade. Node 20 has no such option.
  const http: ServerOptions & { shouldUpgradeCallback: typeof isWebSocket } = { shouldUpgradeCallback: isWebSocket, ...fastify?.http }
  const options = { ...fastify, http, ...(tls === undefined ? {} : { https: { ...tls, ...http } }) }
  try {
    return Fastify(options)
  } catch (error) {
    // What Fastify says of a wrong trustProxy names neither the option nor the value.
    if (!(error instanceof TypeError) || !/^invalid (IP address|range)/.test(error.message)) throw error
    throw invalidOption(TRUST_PROXY, options.trustProxy, `has an ${error.message}`)
  }
}

/**
 * Runs a step when everything else has been added. Plugins such as `@fastify/rate-limit` see only the routes that come
 * after them, so the proxy's have to be the last ones, and Fastify has no hook for that.
 */
function beforeReady (app: FastifyInstance, step: () => void): void {
  const { ready } = app
  let isDone = false
  app.ready = new Proxy(ready, {
    apply (ready, self, parameters: unknown[]) {
      if (!isDone) step()
      isDone = true
      return Reflect.apply(ready, self, parameters)
    }
  })
}

/**
 * Fastify closes connections that are idle when it is told to. Those that become so later, and those that have never been
 * used, as browsers and load balancers keep them ready, would keep it from ending.
 */
function hangUpWhenClosing (app: FastifyInstance, connected: 'connection' | 'secureConnection'): void {
  const unused = new Set<Socket>()
  app.server.on(connected, (socket: Socket) => { unused.add(socket); socket.once('close', () => unused.delete(socket)) })
  for (const event of ['request', 'checkContinue', 'upgrade']) {
    app.server.prependListener(event, ({ socket }: IncomingMessage) => { unused.delete(socket) })
  }
  app.addHook('preClose', done => {
    for (const socket of unused) socket.destroy()
    const timer = setInterval(() => app.server.closeIdleConnections(), 100)
    app.server.once('close', () => clearInterval(timer))
    done()
  })
}
