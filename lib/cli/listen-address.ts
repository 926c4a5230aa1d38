import { isIPv6 } from 'node:net'
import { MAX_PORT, NO_PORT, parseAuthority } from '../grammar/authority.js'
import { quote } from '../grammar/quote.js'
import { UsageError } from './errors.js'

/** An address to listen on. */
export interface ListenAddress { readonly host: string, readonly port: number }

/** The flags `--host` and `--port`, with their defaults. */
interface AddressFlags { readonly host: { readonly byDefault: string }, readonly port: { readonly byDefault: string } }

/** @throws FST_MLFLOW_SECURITY_USAGE */
export function parseListenAddress (
  { host, port }: { readonly host?: string | undefined, readonly port?: string | undefined }, flags: AddressFlags
): ListenAddress {
  return { host: parseHost('host', host ?? flags.host.byDefault), port: parsePort('port', port ?? flags.port.byDefault) }
}

/**
 * @param value - `port` or `address:port`, an IPv6 address in brackets
 * @param listen - where the gateway itself is to listen
 * @param flags - their defaults count where the value has no address
 * @throws FST_MLFLOW_SECURITY_USAGE
 */
export function parseMetricsAddress (value: string, listen: ListenAddress, flags: AddressFlags): ListenAddress {
  const colon = value.lastIndexOf(':')
  const host = colon === -1 ? flags.host.byDefault : value.slice(0, colon)
  const metrics = { host: parseHost('metrics', host), port: parsePort('metrics', value.slice(colon + 1)) }
  refuseSamePort(listen, metrics, flags.port.byDefault)
  return metrics
}

/** The system would say that another program has the port. */
function refuseSamePort (listen: ListenAddress, metrics: ListenAddress, byDefault: string): void {
  if (listen.port !== metrics.port || listen.port === 0 || !overlaps(listen.host, metrics.host)) return
  const hint = listen.port === Number(byDefault) ? ` (default ${byDefault})` : ''
  throw new UsageError(`--metrics: ${metrics.port} is the gateway's own --port${hint}. Choose another port for one of them.`)
}

function overlaps (one: string, other: string): boolean {
  const hosts = [oneAddress(one), oneAddress(other)]
  return hosts[0] === hosts[1] || hosts.includes('::') || (hosts.includes('0.0.0.0') && !hosts.some(isIPv6))
}

/** For `localhost`, Fastify would start a second server, which nothing here would see. */
export function oneAddress (host: string): string {
  return host === 'localhost' ? '127.0.0.1' : host
}

/** Node would listen on every address if it were empty, for instance by a variable that is not set. */
function parseHost (flag: string, value: string): string {
  const authority = parseAuthority(isIPv6(value) ? `[${value}]` : value)
  if (authority === undefined || authority.port !== NO_PORT) {
    throw new UsageError(`--${flag}: ${quote(value)} is not an address to listen on. Allowed: 127.0.0.1, 0.0.0.0, [::1], a name.`)
  }
  return authority.host
}

function parsePort (flag: string, value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > MAX_PORT) {
    throw new UsageError(`--${flag}: ${quote(value)} is not a port. Allowed: 0 to ${MAX_PORT}; 0 takes a free one.`)
  }
  return Number(value)
}
