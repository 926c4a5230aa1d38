import Fastify from 'fastify'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import { isAmbiguous } from '../../gateway/path.js'
import { answerRefusal } from '../../gateway/refusals.js'
import { TRACE_RENDERER } from '../../gateway/routes.js'
import mlflowSecurity from '../../index.js'
import type { MlflowSecurityOptions } from '../../../types/index.js'
import { UnreadableQuestionError } from './errors.js'
import { createReader } from './question.js'
import type { Dialect, Head, Question } from './question.js'

/** What {@link createAuthorizer} is started with. */
export interface AuthorizeOptions {
  readonly dialect: Dialect
  /** Empty, or `/mlflow`. */
  readonly staticPrefix: string
  /** Raw paths that answer whatever the Host: `/mlflow/health`. */
  readonly healthRoutes: readonly string[]
  /** The other settings of the plugin. */
  readonly security: MlflowSecurityOptions
  /** What of Fastify's options is the log. */
  readonly log: FastifyServerOptions
}

/** Longer than an engine keeps an idle connection, Envoy's hour included: what it asks must not meet a closed one. */
const KEEP_ALIVE = 65 * 60 * 1000
/** What passed the engine's limit must not fail here. */
const MAX_HEADER_SIZE = 128 * 1024

// The routes of this app. No health route can be written like them.
const ASKED = '/@asked'
const HEALTH = '/@health'
const RENDERER = '/@renderer'
const UNREADABLE = '/@unreadable'

/**
 * Creates the server that an engine asks before each request. It is an app with the plugin whose requests are the ones
 * asked about, so that verdicts, headers, bodies and log lines are the plugin's own.
 *
 * A request that passes gets 200 with the CORS and frame headers that belong on its answer. Every refusal is 403: nginx
 * makes 500 of a 400. A preflight is answered as the plugin answers it.
 */
export function createAuthorizer (
  { dialect, staticPrefix, healthRoutes, security, log }: AuthorizeOptions
): FastifyInstance {
  const read = createReader(dialect)
  const routeOf = createRouter(staticPrefix, healthRoutes)
  const questions = new WeakMap<object, Question>()
  const app = Fastify({
    ...log,
    trustProxy: (_address, hop) => hop === 0, // the engine's X-Forwarded-For for the log, and Caddy's X-Forwarded-Host
    keepAliveTimeout: KEEP_ALIVE,
    return503OnClosing: false,
    http: { maxHeaderSize: MAX_HEADER_SIZE },
    // Routing goes by what a request may do without; the hook below then puts the original request in its place.
    rewriteUrl (raw) {
      const question = read(raw)
      questions.set(raw, question)
      raw.method = 'GET'
      return question.head === undefined ? UNREADABLE : routeOf(question.head)
    }
  })
  app.addHook('onRequest', (request, _reply, done) => {
    const head = questions.get(request.raw)?.head ?? NOTHING
    Object.assign(request.raw, head, { originalUrl: head.url })
    done()
  })
  app.register(mlflowSecurity, { ...security, healthRoutes: [...healthRoutes] })
  app.setErrorHandler(answerError)
  // The hooks answer, after those of the plugin: no body that a header announces is waited for.
  app.after(() => {
    app.get(ASKED, { onRequest: pass }, pass)
    app.get(HEALTH, { onRequest: pass, config: { mlflowSecurity: { host: false } } }, pass)
    app.get(RENDERER, { onRequest: pass, config: { mlflowSecurity: { frameOptions: 'NONE' } } }, pass)
    app.get(UNREADABLE, { onRequest: refuse, config: { mlflowSecurity: { host: false, origin: false } } }, refuse)
  })

  async function refuse (request: FastifyRequest): Promise<void> {
    const error = new UnreadableQuestionError(questions.get(request.raw)?.problem ?? '')
    request.log.warn({ code: error.code, remoteAddress: request.ip }, error.message)
    throw error
  }
  return app
}

const NOTHING: Head = { method: 'GET', url: '/', headers: {} }

function pass (_request: FastifyRequest, reply: FastifyReply): void {
  reply.code(200).send()
}

/** A refusal has its line in the log already; anything else is a fault to be found, and no engine takes it for a pass. */
function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500 } = error
  if (statusCode >= 500) request.log.error(error)
  answerRefusal(statusCode === 400 ? Object.assign(error, { statusCode: 403 }) : error, request, reply)
}

/** Exemptions go by the path as it came: engines read `/api/..%2fhealth` as they like, and pass it on as it is. */
function createRouter (staticPrefix: string, healthRoutes: readonly string[]): (head: Head) => string {
  const health = new Set(healthRoutes)
  const renderer = staticPrefix + TRACE_RENDERER
  return ({ method, url }) => {
    const [path = ''] = url.split('?', 1)
    if (health.has(path) && (method === 'GET' || method === 'HEAD')) return HEALTH
    return path.startsWith(renderer) && !path.includes('%') && !isAmbiguous(path) ? RENDERER : ASKED
  }
}
