import { hostname as machine } from 'node:os'
import { UPSTREAM_NAME } from '../gateway/table.js'
import { isLoopback } from '../grammar/authority.js'
import { UsageError } from './errors.js'
import { defaultPort } from '../grammar/origin.js'
import type { ListenAddress } from './listen-address.js'
import { ownAddresses } from './reach.js'

/**
 * Refuses an upstream that is the gateway itself. `MLFLOW_TRACKING_URI` may be set for clients, and then names the gateway.
 *
 * @param upstream - an http or https URL
 * @throws FST_MLFLOW_SECURITY_USAGE if the gateway itself is to listen at the upstream's address
 */
export function refuseLoop (upstream: string, { host, port }: ListenAddress): void {
  const { hostname, port: upstreamPort, protocol } = new URL(upstream)
  if (Number(upstreamPort || defaultPort(protocol.slice(0, -1))) !== port) return
  const names = ['localhost', '0.0.0.0', '::', host, machine(), ...ownAddresses().map(({ address }) => address)]
  const name = hostname.replace(/^\[|\]$|\.$/g, '')
  if (names.some(own => own.toLowerCase() === name) || isLoopback(name) || name.endsWith('.localhost')) {
    throw new UsageError(`${UPSTREAM_NAME}: ${upstream} is the address where this gateway itself is to listen. ` +
      'Start the MLflow server on another port, and name that one, or choose another --port.')
  }
}
