import Fastify from 'fastify'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import { isAmbiguous } from '../../gateway/ambiguous-path.js'
import { answerRefusal } from '../../gateway/error-answers.js'
import { TRACE_RENDERER } from '../../gateway/routes.js'
import mlflowSecurity from '../../index.js'
import type { MlflowSecurityOptions } from '../../../types/index.js'
import { UnreadableQuestionError } from './errors.js'
import { createReader } from './question.js'
import type { Dialect, Head, Question } from './question.js'

/** The options of {@link createAuthorizer}. */
export interface AuthorizeOptions {
  readonly dialect: Dialect
  /** Empty, or `/mlflow`. */
  readonly staticPrefix: string
  /** Raw paths that answer any Host: `/mlflow/health`. */
  readonly healthRoutes: readonly string[]
  /** The other settings of the plugin. */
  readonly security: MlflowSecurityOptions
  /** Fastify's options for the log. */
  readonly log: FastifyServerOptions
}

/** Longer than any engine keeps an idle connection (Envoy: an hour), so that no question meets a closed one. */
const KEEP_ALIVE = 65 * 60 * 1000
/** Larger than the engines' limits: what passed there must not fail here. */
const MAX_HEADER_SIZE = 128 * 1024

// The routes of this app. They cannot collide with a health route.
const ASKED = '/@asked'
const HEALTH = '/@health'
const RENDERER = '/@renderer'
const UNREADABLE = '/@unreadable'

/**
 * Creates the server that an engine asks before each request. It is an app with the plugin, and sees the requests that are
 * asked about as its own. So verdicts, headers, bodies and log lines are the plugin's.
 *
 * A request that passes gets 200 with the CORS and frame headers that belong on its answer. Every refusal is 403: nginx
 * turns a 400 into a 500. A preflight is answered as the plugin answers it.
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
    // The route is chosen by the exemptions of the request. The hook below then puts the original request in place.
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
  // These hooks answer, after the plugin's. So nothing waits for a body that a header announces.
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

/** A refusal has been logged already. Anything else is a fault to be found, and no engine takes it for a pass. */
function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500 } = error
  if (statusCode >= 500) request.log.error(error)
  answerRefusal(statusCode === 400 ? Object.assign(error, { statusCode: 403 }) : error, request, reply)
}

/** Exemptions go by the raw path. Engines decode `/api/..%2fhealth` in their own ways, and pass it on undecoded. */
function createRouter (staticPrefix: string, healthRoutes: readonly string[]): (head: Head) => string {
  const health = new Set(healthRoutes)
  const renderer = staticPrefix + TRACE_RENDERER
  return ({ method, url }) => {
    const [path = ''] = url.split('?', 1)
    if (health.has(path) && (method === 'GET' || method === 'HEAD')) return HEALTH
    return path.startsWith(renderer) && !path.includes('%') && !isAmbiguous(path) ? RENDERER : ASKED
  }
}
