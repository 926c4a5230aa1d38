import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { FastifyServerOptions } from 'fastify'
import { MAX_PORT, NO_PORT, parseAuthority } from '../grammar/authority.js'
import { UsageError } from './usage-error.js'
import type { GatewayOptions } from '../gateway.js'
import { quote } from '../grammar/quote.js'
import { optionNames, settingOf } from '../settings/table.js'

/** What `util.parseArgs` makes of the flags. Those of the settings come from the table, and have no types of their own. */
interface GatewayValues {
  readonly [flag: string]: unknown
  readonly upstream?: string | undefined
  readonly 'static-prefix'?: string | undefined
  readonly 'trust-proxy'?: string[] | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly 'upstream-ca'?: string | undefined
  readonly 'upstream-timeout'?: string | undefined
  readonly host?: string | undefined
  readonly port?: string | undefined
  readonly metrics?: string | undefined
}

const TRUSTED = 'It takes addresses and ranges: 127.0.0.1, 10.0.0.0/8, loopback.'

/** An address to listen on. */
export interface ListenAddress { readonly host: string, readonly port: number }

/** @returns the settings that have been given by flags, by option; the plugin says what is wrong with one */
export function settingOptions (values: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(optionNames.flatMap(option => {
    const { flag } = settingOf(option)
    return flag === undefined || values[flag] === undefined ? [] : [[option, values[flag]]]
  }))
}

/** What the gateway is started with. */
export interface ServeOptions {
  readonly options: GatewayOptions
  readonly listen: ListenAddress
  /** Where the figures for Prometheus are to be served, if they are. */
  readonly metrics: ListenAddress | undefined
}

/** @throws FST_MLFLOW_SECURITY_USAGE */
export function serveOptions (values: GatewayValues, logger: NonNullable<FastifyServerOptions['logger']>): ServeOptions {
  return {
    options: gatewayOptions(values, logger),
    listen: { host: parseHost('host', values.host ?? '127.0.0.1'), port: parsePort('port', values.port ?? '8080') },
    metrics: values.metrics === undefined ? undefined : metricsAddress(values.metrics)
  }
}

function gatewayOptions (values: GatewayValues, logger: NonNullable<FastifyServerOptions['logger']>): GatewayOptions {
  const trustProxy = readTrustProxy(values['trust-proxy'])
  return {
    ...settingOptions(values),
    upstream: values.upstream,
    staticPrefix: values['static-prefix'],
    upstreamTimeout: numberOf('upstream-timeout', values['upstream-timeout']),
    upstreamCa: values['upstream-ca'] === undefined ? undefined : readCa(values['upstream-ca']),
    tls: readTls(values),
    fastify: { logger, ...(trustProxy === undefined ? {} : { trustProxy }) }
  }
}

function readTrustProxy (values: string[] | undefined): string | undefined {
  const proxies = values?.join(',')
  if (proxies?.trim() === '') throw new UsageError(`--trust-proxy is empty. ${TRUSTED}`)
  // Elsewhere a number counts hops; here it would be read as the address 0.0.0.1, and nobody trusted.
  const hops = proxies?.split(',').find(proxy => /^\s*\d+\s*$/.test(proxy))
  if (hops !== undefined) throw new UsageError(`--trust-proxy: ${quote(hops)} is no address. ${TRUSTED}`)
  return proxies
}

function numberOf (flag: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (!/^\d+(\.\d+)?$/.test(value)) throw new UsageError(`--${flag}: ${quote(value)} is no number of seconds.`)
  return Number(value)
}

function readTls ({ cert, key }: GatewayValues): GatewayOptions['tls'] {
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined || key === undefined) throw new UsageError('--cert and --key belong together: give both.')
  const tls = { cert: read('cert', cert), key: read('key', key) }
  verify('--cert and --key', () => createSecureContext(tls))
  return tls
}

function readCa (file: string): Buffer {
  const ca = read('upstream-ca', file)
  verify('--upstream-ca', () => new X509Certificate(ca))
  return ca
}

function read (flag: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new UsageError(`--${flag}: ${quote(file)} cannot be read: ${String(error).replace(/^Error: /, '')}`)
  }
}

/** What is wrong with a certificate is said at start, not at the first connection. */
function verify (flags: string, use: () => unknown): void {
  try {
    use()
  } catch (error) {
    throw new UsageError(`${flags}: no such PEM: ${String(error).replace(/^Error: /, '')}`)
  }
}

/**
 * @param value - `port` or `address:port`, an IPv6 address in brackets
 * @throws FST_MLFLOW_SECURITY_USAGE
 */
function metricsAddress (value: string): ListenAddress {
  const colon = value.lastIndexOf(':')
  const host = colon === -1 ? '127.0.0.1' : value.slice(0, colon)
  return { host: parseHost('metrics', host), port: parsePort('metrics', value.slice(colon + 1)) }
}

/** An empty address, a variable that is not set for instance, would be every address there is. */
function parseHost (flag: string, value: string): string {
  const authority = parseAuthority(isIPv6(value) ? `[${value}]` : value)
  if (authority === undefined || authority.port !== NO_PORT) {
    throw new UsageError(`--${flag}: ${quote(value)} is no address to listen on. Allowed: 127.0.0.1, 0.0.0.0, [::1], a name.`)
  }
  return authority.host
}

function parsePort (flag: string, value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > MAX_PORT) {
    throw new UsageError(`--${flag}: ${quote(value)} is no port. Allowed: 0 to ${MAX_PORT}; 0 takes a free one.`)
  }
  return Number(value)
}
