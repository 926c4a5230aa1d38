import { X509Certificate } from 'node:crypto'
import { UsageError } from './errors.js'
import type { GatewayOptions } from '../gateway.js'
import { routePattern } from '../gateway/route-pattern.js'
import { resolvePrefix, withoutPrefix } from '../gateway/static-prefix.js'
import { quote } from '../grammar/quote.js'
import { splitList } from '../settings/list.js'
import { optionNames, settingOf } from '../settings/table.js'
import { ignoredVariables } from './ignored-variables.js'
import { gatewayFlags } from './flags.js'
import { parseListenAddress, parseMetricsAddress } from './listen-address.js'
import type { ListenAddress } from './listen-address.js'
import { readCertificate, readPem, verifyPem } from './certificates.js'
import type { CertificateFiles } from './certificates.js'

/** What `util.parseArgs` makes of the flags. Those of the settings come from the table, and have no types of their own. */
interface GatewayValues {
  readonly [flag: string]: unknown
  readonly upstream?: string | undefined
  readonly 'static-prefix'?: string | undefined
  readonly 'health-routes'?: string[] | undefined
  readonly 'callback-paths'?: string[] | undefined
  readonly 'trust-proxy'?: string[] | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly 'upstream-ca'?: string | undefined
  readonly 'upstream-timeout'?: string | undefined
  readonly host?: string | undefined
  readonly port?: string | undefined
  readonly metrics?: string | undefined
  readonly 'keep-alive-timeout'?: string | undefined
  readonly 'max-header-size'?: string | undefined
  readonly 'drain-delay'?: string | undefined
  readonly 'shutdown-timeout'?: string | undefined
}

/** In bytes. */
const HEADER_SIZES = { least: 4096, most: 1 << 20 }

const TRUSTED = 'It takes addresses and ranges: 127.0.0.1, 10.0.0.0/8, loopback.'

/** @returns the settings that were given as flags, by option name. The plugin checks their values. */
export function settingOptions (values: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(optionNames.flatMap(option => {
    const { flag } = settingOf(option)
    return flag === undefined || values[flag] === undefined ? [] : [[option, values[flag]]]
  }))
}

/** Health routes are given as MLflow names them, and served below its prefix. */
function belowPrefix (lists: readonly string[], staticPrefix: string | undefined): string[] {
  const prefix = resolvePrefix(staticPrefix)
  const routes = splitList(lists)
  const wrong = routes.find(route => !/^\/[!-~]*$/.test(route))
  if (wrong !== undefined) throw new UsageError(`--health-routes: ${quote(wrong)} is not a path. Allowed: paths that begin with a slash, below --static-prefix: /health,/version.`)
  return routes.map(route => routePattern(prefix) + withoutPrefix(route, prefix))
}

/** Everything that starting the gateway needs. */
export interface ServeOptions {
  readonly options: GatewayOptions
  readonly listen: ListenAddress
  /** Where to serve the metrics for Prometheus, if anywhere. */
  readonly metrics: ListenAddress | undefined
  /** The files of the certificate, to read them again. */
  readonly certificate: CertificateFiles | undefined
  /** How long the health routes answer 503 before anything else ends, in milliseconds. */
  readonly drainDelay: number
  /** How long running requests may take after that, in milliseconds. */
  readonly shutdownTimeout: number
  /** What to warn of at the start: variables that have no effect. */
  readonly ignored: readonly string[]
}

type FastifyOptions = NonNullable<GatewayOptions['fastify']>

/**
 * @param log - Fastify's options for the log
 * @throws FST_MLFLOW_SECURITY_USAGE
 */
export function serveOptions (values: GatewayValues, log: FastifyOptions): ServeOptions {
  const certificate = certificateFiles(values)
  const listen = parseListenAddress(values, gatewayFlags)
  const metrics = values.metrics === undefined ? undefined : parseMetricsAddress(values.metrics, listen, gatewayFlags)
  return {
    options: gatewayOptions(values, certificate, log),
    certificate,
    drainDelay: milliseconds('drain-delay', values['drain-delay']),
    shutdownTimeout: milliseconds('shutdown-timeout', values['shutdown-timeout']),
    listen,
    metrics,
    ignored: ignoredVariables(values, process.env)
  }
}

function gatewayOptions (values: GatewayValues, certificate: CertificateFiles | undefined, log: FastifyOptions): GatewayOptions {
  const trustProxy = readTrustProxy(values['trust-proxy'])
  const routes = values['health-routes']
  const maxHeaderSize = headerSize(values['max-header-size'])
  return {
    ...settingOptions(values),
    ...(routes === undefined ? {} : { healthRoutes: belowPrefix(routes, values['static-prefix']) }),
    upstream: values.upstream,
    staticPrefix: values['static-prefix'],
    callbackPaths: values['callback-paths'],
    upstreamTimeout: values['upstream-timeout'] === undefined ? undefined : secondsOf('upstream-timeout', values['upstream-timeout']),
    upstreamCa: values['upstream-ca'] === undefined ? undefined : readCa(values['upstream-ca']),
    tls: certificate === undefined ? undefined : readCertificate(certificate),
    fastify: {
      ...log,
      keepAliveTimeout: milliseconds('keep-alive-timeout', values['keep-alive-timeout']),
      ...(maxHeaderSize === undefined ? {} : { http: { maxHeaderSize } }),
      ...(trustProxy === undefined ? {} : { trustProxy })
    }
  }
}

function readTrustProxy (values: string[] | undefined): string | undefined {
  const proxies = values?.join(',')
  if (proxies?.trim() === '') throw new UsageError(`--trust-proxy is empty. ${TRUSTED}`)
  // In Fastify a number counts hops. Here it would become the address 0.0.0.1, and no proxy would be trusted.
  const hops = proxies?.split(',').find(proxy => /^\s*\d+\s*$/.test(proxy))
  if (hops !== undefined) throw new UsageError(`--trust-proxy: ${quote(hops)} is not an address. ${TRUSTED}`)
  return proxies
}

function secondsOf (flag: string, value: string): number {
  if (!/^\d+(\.\d+)?$/.test(value)) throw new UsageError(`--${flag}: ${quote(value)} is not a number of seconds.`)
  return Number(value)
}

/** At most a day. Node's timers overflow at 24 days, and nobody waits for so long. */
function milliseconds (flag: 'drain-delay' | 'shutdown-timeout' | 'keep-alive-timeout', value: string | undefined): number {
  const seconds = secondsOf(flag, value ?? gatewayFlags[flag].byDefault)
  if (seconds > 86400) throw new UsageError(`--${flag}: ${quote(String(value))} is too long. Allowed: seconds, at most 86400.`)
  return Math.ceil(seconds * 1000)
}

function headerSize (value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const size = Number(value)
  if (/^\d+$/.test(value) && size >= HEADER_SIZES.least && size <= HEADER_SIZES.most) return size
  throw new UsageError(`--max-header-size: ${quote(value)} is not allowed. Allowed: bytes, ${HEADER_SIZES.least} to ${HEADER_SIZES.most}.`)
}

function certificateFiles ({ cert, key }: GatewayValues): CertificateFiles | undefined {
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined || key === undefined) throw new UsageError('--cert and --key belong together: give both.')
  return { cert, key }
}

function readCa (file: string): Buffer {
  const ca = readPem('upstream-ca', file)
  verifyPem('--upstream-ca', 'a certificate', () => new X509Certificate(ca))
  return ca
}
