import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AmbiguousPathError, BodyNotAllowedError, LoopError, UpstreamTimeoutError, UpstreamUnreachableError } from '../settings/errors.js'
import { SIGNAL, createClient, forget, hangUpSignal } from './client.js'
import type { UpstreamClient } from './client.js'
import { OWN_HEADERS, fromUpstream, toUpstream } from './headers.js'
import { loadOptional } from './optional.js'
import { createRefusalAdvice } from './advice.js'
import { METHODS } from './options.js'
import type { GatewaySettings, Upstream } from './options.js'
import { isAmbiguous, originForm } from './path.js'
import { guardUpgrades, socketOptions } from './websocket.js'

/** MLflow's notebooks embed this part of its UI, wherever they are served from. */
const TRACE_RENDERER = '/static-files/lib/notebook-trace-renderer/*'

/**
 * Adds the routes that pass everything on to the MLflow server.
 *
 * @throws FST_MLFLOW_SECURITY_MISSING_DEPENDENCY
 */
export async function addProxy (app: FastifyInstance, { upstream, staticPrefix }: GatewaySettings): Promise<void> {
  const { default: httpProxy } = await loadOptional('@fastify/http-proxy', () => import('@fastify/http-proxy'))
  const client = await createClient(upstream)
  // Fastify's own parser for text/plain would stand beside the proxy's: it decodes what the client labels so, and limits it.
  app.removeAllContentTypeParsers()
  app.addHook('onClose', () => client.close())
  app.addHook('onResponse', (request, _reply, done) => { forget(request.raw); done() })
  app.setErrorHandler(explainBrokenAnswer)

  const { healthRoutes, disableSecurityMiddleware } = app.mlflowSecurity.settings
  const via = `1.1 mlflow-gateway-${randomBytes(4).toString('hex')}`
  const advise = createRefusalAdvice(app, upstream.host, disableSecurityMiddleware)
  const options = {
    ...proxyOptions(upstream, client, via, !disableSecurityMiddleware, advise),
    ...socketOptions(upstream, via, app.log),
    websocket: true as const
  }
  // The health routes stand beside the wildcard so that the router tells them apart, not the text of a URL.
  const renderer = staticPrefix + TRACE_RENDERER
  const isFree = (url: string): boolean => url !== renderer && !METHODS.some(method => app.hasRoute({ url, method }))
  await app.register(httpProxy, { ...options, routes: [...new Set(['/*', ...['/', ...healthRoutes].filter(isFree)])] })
  await app.register(httpProxy, { ...options, routes: [renderer], config: { mlflowSecurity: { frameOptions: 'NONE' } } })
  guardUpgrades(app)
}

/** A client that asks before it sends a large body is told to go on only when its request is allowed. */
export function continueWhenAllowed (app: FastifyInstance): void {
  app.server.on('checkContinue', app.routing)
  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.headers.expect !== undefined && request.raw.httpVersion === '1.1') reply.raw.writeContinue()
    done()
  })
}

function proxyOptions (
  upstream: Upstream, client: UpstreamClient, via: string, replacesHeaders: boolean, advise: (body: Uint8Array) => void
): FastifyHttpProxyOptions {
  return {
    upstream: upstream.origin + upstream.path,
    httpMethods: [...METHODS],
    undici: client,
    retryMethods: [], // an answer of 503 is an answer
    disableRequestLogging: true,
    preRewrite: originForm,
    internalRewriteLocationHeader: false,
    replyOptions: {
      rewriteRequestHeaders: (request, headers) =>
        Object.assign(toUpstream(request, headers, via), { [SIGNAL]: hangUpSignal(request.raw) }),
      rewriteHeaders: (headers, request) => fromUpstream(headers, request, upstream, replacesHeaders),
      onResponse (request, reply, { statusCode, stream }) {
        begun.add(request)
        if (statusCode === 403) stream.once('data', advise)
        // Its length is that of the body which it does not have (RFC 9110 §8.6).
        if (statusCode === 304) stream.on('error', () => {}).resume()
        reply.send(statusCode === 304 ? undefined : stream)
      },
      onError: (reply, { error }) => { if (!reply.raw.destroyed) reply.send(explain(error)) }
    },
    // WebSockets come by here too, and not by a handler.
    preHandler (request, _reply, done) {
      if (request.headers.via?.includes(via) === true) return done(new LoopError())
      if (isAmbiguous(request.raw.url)) return done(new AmbiguousPathError())
      done(hasLostBody(request) ? new BodyNotAllowedError() : undefined)
    }
  }
}

/** The requests that the upstream has begun to answer: an error of any other one is not the upstream's. */
const begun = new WeakSet<object>()

/** @returns whether the answer to this request is the upstream's */
export function isAnsweredByUpstream (request: object): boolean {
  return begun.has(request)
}

/** An answer that breaks off before its first byte: what has been copied of it goes, so that no cache keeps the error. */
function explainBrokenAnswer (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  if (!begun.has(request) || !/^(UND_ERR_|HPE_|ECONNRESET$)/.test(error.code)) throw error
  for (const name of Object.keys(reply.getHeaders())) if (!OWN_HEADERS.test(name)) reply.removeHeader(name)
  reply.code(502).send(new UpstreamUnreachableError())
}

/** Fastify reads no body of GET and HEAD; without it, the answer would be one to another question. */
function hasLostBody ({ method, headers }: { method: string, headers: IncomingHttpHeaders }): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

function explain (error: Error): Error {
  const isTimeout = 'statusCode' in error && error.statusCode === 504
  return isTimeout ? new UpstreamTimeoutError() : new UpstreamUnreachableError()
}
