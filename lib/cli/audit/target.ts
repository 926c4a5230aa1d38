import { isIPv6 } from 'node:net'
import { NO_PORT, formatHost, isLoopback, parseAuthority, portOf } from '../../grammar/authority.js'
import type { Authority } from '../../grammar/authority.js'
import { defaultPort } from '../../grammar/origin.js'
import { quote } from '../../grammar/quote.js'
import { UsageError } from '../errors.js'

export type Header = readonly [name: string, value: string]

/** The server that is asked. */
export interface Target {
  /** The URL as people write it: scheme, host and path, without a trailing slash. */
  readonly url: string
  readonly tls: boolean
  /** The host of the URL. */
  readonly host: Authority
  /** The Host header that a browser sends there: without the default port. */
  readonly authority: string
  /** The Origin of the server's own pages. */
  readonly origin: string
  /** MLflow's path prefix, without a trailing slash. Empty for the root. */
  readonly base: string
  /** The name or address to connect to, without brackets. */
  readonly connect: { readonly host: string, readonly port: number }
  /** Sent with every request, a login for instance. */
  readonly headers: readonly Header[]
  /** Whether browsers send Sec-Fetch-Site there: only to https and this machine. */
  readonly sendsFetchMetadata: boolean
}

const EXAMPLE = 'http://mlflow.lan:5000'
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*?)[ \t]*$/
/** The audit sets these itself: they are what it varies. */
const OWN_HEADERS = new Set([
  'host', 'origin', 'referer', 'connection', 'upgrade', 'content-length', 'content-type', 'transfer-encoding', 'expect', 'user-agent', 'accept-encoding',
  'x-forwarded-host', 'x_forwarded_host'
])
const OWN_PREFIXES = /^(sec-|access-control-)/

/**
 * @param text - the URL that people open: `http://host[:port][/path]` or `https://…`
 * @param connect - `ADDRESS[:PORT]` to connect to in place of the URL's host
 * @param headers - `NAME: VALUE` each
 * @throws FST_MLFLOW_SECURITY_USAGE
 */
export function parseTarget (text: string, connect: string | undefined, headers: readonly string[]): Target {
  const url = parseUrl(text)
  const tls = url.protocol === 'https:'
  const host = parseAuthority(url.host)
  if (host === undefined) throw new UsageError(`audit: ${quote(url.host)} is not a host that a request can name.`)
  const port = portOf(host, defaultPort(url.protocol.slice(0, -1)))
  const base = url.pathname.replace(/\/+$/, '')
  return {
    url: url.origin + base,
    tls,
    host,
    authority: url.host,
    origin: url.origin,
    base,
    connect: connect === undefined ? { host: host.host, port } : parseConnect(connect, port),
    headers: headers.map(parseHeader),
    sendsFetchMetadata: tls || host.host === 'localhost' || isLoopback(host.host)
  }
}

function parseUrl (text: string): URL {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    const fix = /^[a-z0-9.-]+(:\d+)?(\/|$)/i.test(text) ? `Did you mean http://${text}?` : `Write it as ${EXAMPLE}.`
    throw new UsageError(`audit: ${quote(text)} is not an http or https URL. ${fix}`)
  }
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') {
    throw new UsageError("audit: the URL carries a login. Leave it out, and give it as a header: --header 'Authorization: Basic …'.")
  }
  if (url.search !== '') throw new UsageError(`audit: the URL has a query. Name the server alone: ${url.origin}${url.pathname}`)
  if (url.port === '0') throw new UsageError(`audit: ${quote(text)} has port 0, on which no server can be reached.`)
  return url
}

function parseConnect (value: string, port: number): Target['connect'] {
  const authority = parseAuthority(isIPv6(value) ? `[${value}]` : value)
  if (authority === undefined || authority.port === 0) {
    throw new UsageError(`--connect: ${quote(value)} is not an address to connect to. Allowed: 127.0.0.1, 127.0.0.1:8080, [::1]:8080, a name.`)
  }
  return { host: authority.host, port: portOf(authority, port) }
}

function parseHeader (text: string): Header {
  const [, name = '', value = ''] = HEADER.exec(text) ?? []
  // The value may be a password, so the message does not show it.
  if (name === '') throw new UsageError("--header: this is not a header. Write it as --header 'Authorization: Bearer …'.")
  if (OWN_HEADERS.has(name.toLowerCase()) || OWN_PREFIXES.test(name.toLowerCase())) {
    throw new UsageError(`--header: ${name} is a header that the audit itself has to set.`)
  }
  return [name, value]
}

/** @returns the address that is connected to, for people */
export function describeConnection ({ connect: { host, port } }: Target): string {
  return `${formatHost({ kind: isIPv6(host) ? 'ipv6' : 'name', host, port: NO_PORT })}:${port}`
}
