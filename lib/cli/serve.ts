import assert from 'node:assert'
import type { FastifyInstance } from 'fastify'
import { adviseOnProxy } from '../gateway/log-advice.js'
import { addAvailability } from '../gateway/availability.js'
import type { Availability } from '../gateway/availability.js'
import { trackConnections } from '../gateway/drain.js'
import type { Connections } from '../gateway/drain.js'
import { addMetrics, createMetricsServer } from '../gateway/metrics.js'
import { resolveGatewayOptions } from '../gateway/options.js'
import type { Upstream } from '../gateway/options.js'
import { createGateway } from '../gateway.js'
import { listenAt } from './listen.js'
import { refuseLoop } from './upstream-loop.js'
import type { ListenAddress } from './listen-address.js'
import type { ServeOptions } from './options.js'
import { announceReach } from './reach.js'
import { addRequestLog } from './request-log.js'

/** What the log says when the gateway stops listening. */
export const LAST_REQUESTS = 'running requests may finish, and no new connection is accepted'

/** A gateway that listens, with the server of its metrics if one is wanted. */
export interface Running {
  readonly gateway: FastifyInstance
  readonly upstream: Upstream
  /** Where it listens. */
  readonly port: number
  readonly availability: Availability
  /**
   * Ends it without failing a request.
   *
   * @param delay - milliseconds for which its health routes say 503 first
   * @param timeout - milliseconds for what runs then
   */
  end (delay: number, timeout: number): Promise<void>
}

/**
 * Starts the gateway.
 *
 * @param dropped - how many lines the log has lost
 * @param state - `starting` where the MLflow server is not there yet
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_USAGE, FST_MLFLOW_SECURITY_CANNOT_LISTEN,
 *   FST_MLFLOW_SECURITY_MISSING_DEPENDENCY
 */
export async function serve (
  { options, listen, metrics, ignored }: ServeOptions, dropped: () => number, state: Availability['state'] = 'serving'
): Promise<Running> {
  const { upstream } = resolveGatewayOptions(options, process.env)
  refuseLoop(upstream.origin, listen)

  const gateway = createGateway(options)
  const connections = trackConnections(gateway.server)
  addRequestLog(gateway)
  adviseOnProxy(gateway)
  const availability = addAvailability(gateway)
  availability.state = state
  const metricsApp = metrics === undefined ? undefined : await serveMetrics(gateway, metrics, dropped)
  await listenAt(gateway, listen, { host: '--host', port: '--port' }, address => `Protecting ${upstream.origin}${upstream.path} at ${address}${options.staticPrefix ?? ''}`)
  for (const line of ignored) gateway.log.warn(line)
  announceReach(gateway, options)
  const address = gateway.server.address()
  assert(address instanceof Object) // it listens on a port
  return { gateway, upstream, port: address.port, availability, end: end(gateway, metricsApp, connections, availability) }
}

async function serveMetrics (gateway: FastifyInstance, address: ListenAddress, dropped: () => number): Promise<FastifyInstance> {
  const registry = await addMetrics(gateway, dropped)
  await gateway.ready()
  const app = createMetricsServer(registry, gateway.mlflowSecurity.settings)
  await listenAt(app, address, { host: '--metrics', port: '--metrics' }, text => text)
  gateway.log.info(`Metrics for Prometheus: ${app.listeningOrigin}/metrics`)
  return app
}

function end (
  gateway: FastifyInstance, metricsApp: FastifyInstance | undefined, connections: Connections, availability: Availability
): Running['end'] {
  return async (delay, timeout) => {
    availability.state = 'draining'
    if (delay > 0) {
      await new Promise(resolve => { setTimeout(resolve, delay) })
      gateway.log.info(`Now ${LAST_REQUESTS}`)
    }
    await connections.drain(timeout)
    await Promise.all([gateway.close(), metricsApp?.close()])
  }
}
