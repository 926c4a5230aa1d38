import { maxHeaderSize } from 'node:http'
import { gatewayTable } from '../gateway/table.js'
import { optionNames, settingOf } from '../settings/table.js'
import type { OptionName, Setting } from '../settings/table.js'

/** A flag of the command, as `util.parseArgs` takes it, with its help text. */
export interface Flag {
  readonly type: 'string' | 'boolean'
  readonly short?: 'h'
  /** A list: the flag may be repeated. */
  readonly multiple?: true
  readonly value?: string
  readonly help: string
  readonly variable?: string
  /** The default as it would be written, or in words. (`util.parseArgs` would treat a `default` as a given value.) */
  readonly byDefault?: string
}

export type Flags = Readonly<Record<string, Flag>>

/** The settings that MLflow documents, under their documented names. */
export const documentedFlags: Flags = flagsOf(optionNames.filter(option => settingOf(option).variable !== undefined))

/** The other settings of the plugin. */
const ownFlags: Flags = flagsOf(optionNames.filter(option => settingOf(option).variable === undefined))

function flagsOf (options: readonly OptionName[]): Flags {
  return Object.fromEntries(options.flatMap(option => {
    const { flag, ...setting } = settingOf(option)
    return flag === undefined ? [] : [[flag, toFlag(setting)]]
  }))
}

function toFlag ({ help = '', value, variable, schema, default: byDefault, defaultInWords }: Omit<Setting, 'flag'>): Flag {
  const about = { help, byDefault: defaultInWords ?? String(byDefault), ...(variable === undefined ? {} : { variable }) }
  if (value === undefined) return { type: 'boolean', ...about }
  return { type: 'string', value, ...('items' in schema ? { multiple: true } : {}), ...about }
}

/** The settings of the gateway. */
export const gatewayFlags = {
  [gatewayTable.upstream.flag]: gatewayTable.upstream,
  host: { type: 'string', value: 'ADDRESS', help: 'The address to listen on', byDefault: '127.0.0.1' },
  port: { type: 'string', value: 'PORT', help: 'The port to listen on', byDefault: '8080' },
  ...ownFlags,
  [gatewayTable.staticPrefix.flag]: gatewayTable.staticPrefix,
  [gatewayTable.callbackPaths.flag]: gatewayTable.callbackPaths,
  'trust-proxy': {
    type: 'string',
    multiple: true,
    value: 'ADDRESSES',
    help: 'Proxies in front whose X-Forwarded-* count: addresses, ranges, loopback, linklocal, uniquelocal'
  },
  cert: { type: 'string', value: 'FILE', help: 'A certificate in PEM: the gateway then speaks https' },
  key: { type: 'string', value: 'FILE', help: 'The key of the certificate, in PEM' },
  [gatewayTable.upstreamCa.flag]: gatewayTable.upstreamCa,
  [gatewayTable.upstreamTimeout.flag]: gatewayTable.upstreamTimeout,
  'keep-alive-timeout': {
    type: 'string',
    value: 'SECONDS',
    help: 'How long an idle connection is kept. A load balancer in front must give up sooner.',
    byDefault: '72' // most load balancers keep a connection for 60
  },
  'max-header-size': { type: 'string', value: 'BYTES', help: 'The most bytes that the headers of a request may have', byDefault: String(maxHeaderSize) },
  'drain-delay': {
    type: 'string',
    value: 'SECONDS',
    help: 'On SIGTERM, how long the health paths answer 503 while everything else is served, so that a balancer sends requests elsewhere',
    byDefault: '0'
  },
  'shutdown-timeout': {
    type: 'string', value: 'SECONDS', help: 'After that, how long running requests may take before they are cut off', byDefault: '20' // Kubernetes kills after 30
  },
  metrics: { type: 'string', value: '[ADDRESS:]PORT', help: 'Serve metrics for Prometheus at this address, as /metrics', byDefault: 'off' },
  'log-level': { type: 'string', value: 'LEVEL', help: 'trace, debug, info, warn, error, fatal or silent', byDefault: 'info' }
} as const satisfies Flags

/** The request that `check` asks about. */
export const requestFlags = {
  'host-header': { type: 'string', value: 'VALUE', help: 'Its Host header' },
  origin: { type: 'string', value: 'VALUE', help: 'Its Origin header' },
  method: { type: 'string', value: 'METHOD', help: 'Its method', byDefault: 'GET' },
  'sec-fetch-site': { type: 'string', value: 'VALUE', help: 'Its Sec-Fetch-Site header' },
  cookie: { type: 'boolean', help: 'It has a Cookie' },
  https: { type: 'boolean', help: 'It came by https, as with --cert' },
  path: { type: 'string', value: 'PATH', help: 'Its path', byDefault: '/' },
  json: { type: 'boolean', help: 'Print the verdict as JSON' }
} as const satisfies Flags

/** The server that `audit` asks, and how. */
export const targetFlags = {
  connect: { type: 'string', value: 'ADDRESS[:PORT]', help: 'Connect to this address, and send the requests for the URL there' },
  header: {
    type: 'string', multiple: true, value: "'NAME: VALUE'", help: "A header to send along, for example a login: 'Authorization: Bearer …'"
  },
  json: { type: 'boolean', help: 'Print the report as JSON' }
} as const satisfies Flags

export const aboutFlags = {
  help: { type: 'boolean', short: 'h', help: 'Print this page' },
  version: { type: 'boolean', help: 'Print the version' }
} as const satisfies Flags

export const serveFlags = { ...documentedFlags, ...gatewayFlags, ...aboutFlags }
/** Includes the gateway's flags, so that `check` can be put before an existing command line. */
export const checkFlags = { ...documentedFlags, ...gatewayFlags, ...requestFlags, ...aboutFlags }
/** The settings tell the audit what is meant to be allowed. */
export const auditFlags = {
  ...documentedFlags, ...flagsOf(['frameAncestors']), ...targetFlags, ...aboutFlags
}

/** The settings of `authorize`. */
export const authorizeFlags = {
  dialect: { type: 'string', value: 'ENGINE', help: 'The engine that asks: nginx (also for HAProxy), caddy, traefik or envoy' },
  host: gatewayFlags.host,
  port: { ...gatewayFlags.port, byDefault: '8081' },
  ...ownFlags,
  'static-prefix': gatewayFlags['static-prefix'],
  'log-level': gatewayFlags['log-level']
} as const satisfies Flags
