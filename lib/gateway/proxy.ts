import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyInstance } from 'fastify'
import { BodyNotAllowedError, LoopError, UpstreamTimeoutError, UpstreamUnreachableError } from '../errors.js'
import { SIGNAL, createClient, hangUpSignal } from './client.js'
import type { UpstreamClient } from './client.js'
import { fromUpstream, toUpstream, toUpstreamSocket } from './headers.js'
import type { Asked } from './headers.js'
import { loadOptional } from './optional.js'
import type { GatewaySettings, Upstream } from './options.js'

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
  app.addHook('onClose', () => client.close())

  const { healthRoutes, disableSecurityMiddleware } = app.mlflowSecurity.settings
  const options = proxyOptions(upstream, client, !disableSecurityMiddleware)
  // The health routes stand beside the wildcard so that the router tells them apart, not the text of a URL.
  await app.register(httpProxy, { ...options, routes: [...new Set(['/', '/*', ...healthRoutes])], websocket: true })
  await app.register(httpProxy, {
    ...options, routes: [staticPrefix + TRACE_RENDERER], config: { mlflowSecurity: { frameOptions: 'NONE' } }, websocket: true
  })
}

/** A client that asks before it sends a large body is told to go on only when its request is allowed. */
export function continueWhenAllowed (app: FastifyInstance): void {
  app.server.on('checkContinue', app.routing)
  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.headers.expect !== undefined) reply.raw.writeContinue()
    done()
  })
}

function proxyOptions (upstream: Upstream, client: UpstreamClient, replacesHeaders: boolean): FastifyHttpProxyOptions {
  const via = `1.1 mlflow-gateway-${randomBytes(4).toString('hex')}`
  const wsClientOptions = {
    ...(upstream.ca === undefined ? {} : { ca: upstream.ca }),
    rewriteRequestHeaders: (_headers: unknown, request: Asked) => toUpstreamSocket(request, via)
  }
  return {
    upstream: upstream.origin + (upstream.path || '/'),
    undici: client,
    retryMethods: [], // an answer of 503 is an answer
    disableRequestLogging: true,
    preRewrite: originForm,
    internalRewriteLocationHeader: false,
    replyOptions: {
      rewriteRequestHeaders: (request, headers) =>
        Object.assign(toUpstream(request, headers, via), { [SIGNAL]: hangUpSignal(request.raw) }),
      rewriteHeaders: (headers, request) => fromUpstream(headers, request, upstream, replacesHeaders),
      onError: (reply, { error }) => { if (!reply.raw.destroyed) reply.send(explain(error)) }
    },
    // WebSockets come by here too, and not by a handler.
    preHandler (request, _reply, done) {
      if (request.headers.via?.includes(via) === true) return done(new LoopError())
      done(hasLostBody(request) ? new BodyNotAllowedError() : undefined)
    },
    wsClientOptions
  }
}

/** `GET http://host/path` is `GET /path` to the server that is named (RFC 9112 §3.2.2), which the Host check has ensured. */
function originForm (url: string): string {
  return url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, '')
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
