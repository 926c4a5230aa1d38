import { hostname as machine } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { isLoopback } from '../authority.js'
import { UsageError } from '../errors.js'
import { createGateway } from '../gateway.js'
import type { GatewayOptions } from '../gateway.js'
import { addMetrics, createMetricsServer } from '../gateway/metrics.js'
import { loadOptional } from '../gateway/optional.js'
import { resolveGatewayOptions } from '../gateway/options.js'
import { DEFAULT_ALLOWED_HOSTS } from '../host-rules.js'
import { defaultPort } from '../origin.js'
import type { ListenAddress } from './options.js'
import { describeReach, ownAddresses } from './reach.js'

/** Requests that are still running when the process is told to end may take this long, in milliseconds. */
const GRACE = 30_000

/**
 * Starts the gateway, and the server of its figures where one is wanted; both end with the process.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_USAGE, FST_MLFLOW_SECURITY_MISSING_DEPENDENCY
 */
export async function serve (options: GatewayOptions, listen: ListenAddress, metrics: ListenAddress | undefined): Promise<void> {
  const { default: closeWithGrace } = await loadOptional('close-with-grace', () => import('close-with-grace'))
  const { upstream } = resolveGatewayOptions(options, process.env)
  refuseLoop(upstream.origin, listen)

  const gateway = createGateway(options)
  const registry = metrics === undefined ? undefined : await addMetrics(gateway)
  await gateway.ready()
  const figures = registry === undefined ? undefined : createMetricsServer(registry, gateway.mlflowSecurity.settings)

  closeWithGrace({ delay: GRACE, logger: gateway.log }, async ({ err }) => {
    if (err !== undefined) gateway.log.fatal(err)
    await Promise.all([gateway.close(), figures?.close()])
  })
  if (metrics !== undefined && figures !== undefined) {
    await figures.listen({ ...metrics })
    gateway.log.info(`Figures for Prometheus: ${figures.listeningOrigin}/metrics`)
  }
  await gateway.listen({ ...listen, listenTextResolver: address => `Protecting ${upstream.origin}${upstream.path} at ${address}` })
  announceReach(gateway, options)
}

/** `MLFLOW_TRACKING_URI` may be set for clients, and name this very gateway. */
function refuseLoop (upstream: string, { host, port }: ListenAddress): void {
  const { hostname, port: upstreamPort, protocol } = new URL(upstream)
  if (Number(upstreamPort || defaultPort(protocol.slice(0, -1))) !== port) return
  const names = ['localhost', '0.0.0.0', '::', host, machine(), ...ownAddresses().map(({ address }) => address)]
  const name = hostname.replace(/^\[|\]$|\.$/g, '')
  if (names.includes(name) || isLoopback(name) || name.endsWith('.localhost')) {
    throw new UsageError(`--upstream (MLFLOW_TRACKING_URI): ${upstream} is where this gateway itself is to listen. ` +
      'Start the MLflow server on another port, and name that one, or choose another --port.')
  }
}

function announceReach (gateway: FastifyInstance, { tls }: GatewayOptions): void {
  const reach = describeReach(gateway, tls === undefined ? 'http' : 'https')
  const isDefault = gateway.mlflowSecurity.settings.allowedHosts.join() === DEFAULT_ALLOWED_HOSTS.join()
  if (reach !== undefined && isDefault) gateway.log.info(reach)
}
