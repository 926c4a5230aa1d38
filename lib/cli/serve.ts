import { createGateway } from '../gateway.js'
import type { GatewayOptions } from '../gateway.js'
import { addMetrics, createMetricsServer } from '../gateway/metrics.js'
import { loadOptional } from '../gateway/optional.js'
import { resolveGatewayOptions } from '../gateway/options.js'
import { refuseLoop } from './loop.js'
import type { ListenAddress } from './options.js'
import { announceReach } from './reach.js'

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
