import { hostname, networkInterfaces } from 'node:os'
import type { NetworkInterfaceInfo } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { formatAuthority, formatHost, isLoopback, parseAuthority } from '../grammar/authority.js'
import type { Authority } from '../grammar/authority.js'
import type { GatewayOptions } from '../gateway.js'
import { isDefaultList } from '../settings/table.js'

const ANY_ADDRESS = ['0.0.0.0', '::']

/** Nobody should have to learn from a 403 which names the default list allows. */
export function announceReach (gateway: FastifyInstance, { tls }: GatewayOptions): void {
  if (!isDefaultList('allowedHosts', gateway.mlflowSecurity.settings.allowedHosts)) return
  const reach = describeReach(gateway, tls === undefined ? 'http' : 'https')
  if (reach !== undefined) gateway.log.info(reach)
}

/**
 * Lists the addresses by which people reach a gateway that listens beyond this machine, and says how to allow others.
 *
 * @param name - what the machine calls itself
 * @returns `undefined` if the gateway listens on this machine only
 */
export function describeReach (
  { server, mlflowSecurity }: FastifyInstance, scheme: 'http' | 'https', name = hostname()
): string | undefined {
  const bound = server.address()
  if (bound === null || typeof bound === 'string' || isLoopback(bound.address)) return undefined

  const hosts = ANY_ADDRESS.includes(bound.address) ? ['localhost', ...reachable(bound.address === '::'), name] : [bound.address, name]
  const urls: string[] = []
  const missing: string[] = []
  for (const authority of authorities(hosts, bound.port)) {
    const host = formatAuthority(authority)
    const verdict = mlflowSecurity.inspect({ method: 'GET', url: '/', headers: { host } })
    if (verdict.allowed) urls.push(`${scheme}://${host}`)
    else missing.push(formatHost(authority))
  }
  const example = ['@default', ...(missing.length > 0 ? new Set(missing) : ['mlflow.company.com'])].join(',')
  return `People can use ${urls.join(', ') || 'no address of this machine'}. Other names and addresses are refused until they are ` +
    `allowed: --allowed-hosts "${example}"`
}

/** The addresses of this machine's network interfaces. */
export function ownAddresses (): NetworkInterfaceInfo[] {
  return Object.values(networkInterfaces()).flat().filter(address => address !== undefined)
}

function reachable (withIPv6: boolean): string[] {
  return ownAddresses()
    .filter(({ internal, family, address }) => !internal && (family === 'IPv4' || withIPv6) && !address.startsWith('fe80:')) // needs a zone id
    .map(({ address }) => address)
}

function authorities (hosts: readonly string[], port: number): Authority[] {
  return hosts.map(host => parseAuthority(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)).filter(authority => authority !== undefined)
}
