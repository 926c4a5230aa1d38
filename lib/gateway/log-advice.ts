import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { isLoopback } from '../grammar/authority.js'
import { CROSS_ORIGIN, INVALID_HOST } from '../policy/refusals.js'
import { flagOf, settingsTable } from '../settings/table.js'
import type { DocumentedOption } from '../settings/table.js'
import { isFromTrustedProxy } from './trusted-proxy.js'

/** How many bytes of an answer are searched: enough for MLflow's whole body, and for the JSON message of another gateway. */
const LOOKED_AT = 1024

const FORWARDED = ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'] as const

/** The warnings that an app has logged already. The key is its server, which plugins and the app share. */
const given = new WeakMap<object, Set<string>>()

/** Logs a warning once in the life of an app. */
export function warnOnce ({ server, log }: { readonly server: object, readonly log: FastifyBaseLogger }, message: string): void {
  const messages = given.get(server) ?? new Set()
  given.set(server, messages)
  if (!messages.has(message)) log.warn(message)
  messages.add(message)
}

/**
 * Explains the 403 of an upstream that checks Hosts and Origins itself, because people take it for the gateway's own. Often the
 * same variable was given to the gateway and left in MLflow's environment.
 *
 * @param upstream - the Host that the upstream gets: `127.0.0.1:5000`
 * @param checks - security is on: the upstream gets its own Host, and no Origin
 * @returns a function that takes the first bytes of each 403 of the upstream
 */
export function createRefusalAdvice (
  app: { readonly server: object, readonly log: FastifyBaseLogger }, upstream: string, checks: boolean
): (body: Uint8Array) => void {
  return body => {
    const text = Buffer.from(body).toString('latin1', 0, LOOKED_AT)
    if (text.includes(INVALID_HOST)) warnOnce(app, checks ? explainHost(upstream) : explainOwnCheck('allowedHosts'))
    if (text.includes(CROSS_ORIGIN)) warnOnce(app, checks ? explainOrigin(upstream) : explainOwnCheck('corsAllowedOrigins'))
  }
}

function explainHost (upstream: string): string {
  const { variable, flag } = settingsTable.allowedHosts
  return `The MLflow server itself refuses the requests of this gateway: "${INVALID_HOST}". Its own allowed hosts do not include ` +
    `"${upstream}", the name that the gateway uses for it. Remove ${variable} (--${flag}) from the MLflow ` +
    `server, because the gateway checks hosts now. Or add "${upstream}" there.`
}

function explainOrigin (upstream: string): string {
  return `The server at ${upstream} refuses requests itself: "${CROSS_ORIGIN}". The gateway sends it no Origin, so the refusal does not ` +
    'come from an MLflow server, but from something in front of one. Allow the origins there too, ' +
    `${flagOf('corsAllowedOrigins')}, or point --upstream at the MLflow server itself.`
}

function explainOwnCheck (option: DocumentedOption): string {
  const { flag } = settingsTable.disableSecurityMiddleware
  return `The MLflow server itself refuses requests. Security is disabled here (--${flag}), so its own checks decide. See ` +
    `${settingsTable[option].variable} in its environment.`
}

/**
 * Warns once about a proxy on this machine that sends X-Forwarded-* and is not trusted. The gateway then sees all clients as
 * one, and https as http.
 *
 * @param gateway - before it is ready
 */
export function adviseOnProxy (gateway: FastifyInstance): void {
  let isDone = false
  gateway.addHook('onRequest', (request, _reply, done) => {
    if (isDone || !FORWARDED.some(name => request.headers[name] !== undefined)) return done()
    const { remoteAddress = '' } = request.raw.socket
    if (!isFromTrustedProxy(request) && isLoopback(remoteAddress)) {
      isDone = true
      warnOnce(gateway, `A proxy on this machine (${remoteAddress}) sends X-Forwarded-* headers. They are ignored, so the gateway sees ` +
        'one client instead of many, and http instead of https. If the proxy is yours, trust it: --trust-proxy loopback')
    }
    done()
  })
}
