import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'

/** These have a `warn` line already. */
const REPORTED = new Set([
  'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 'FST_MLFLOW_SECURITY_HOST_MALFORMED', 'FST_MLFLOW_SECURITY_CROSS_ORIGIN',
  'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE', 'FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT'
])
/** These are not faults: the gateway is starting or ending. */
const EXPECTED = new Set(['FST_MLFLOW_SECURITY_STARTING', 'FST_MLFLOW_SECURITY_DRAINING'])

/**
 * Writes one line for each answered request. The gateway itself writes one for requests that end without an answer. Fastify
 * would write two lines, and four for a refusal.
 *
 * @param gateway - before it is ready
 */
export function addRequestLog (gateway: FastifyInstance): void {
  const reported = new WeakSet<FastifyRequest>()
  gateway.addHook('onError', (request, _reply, error, done) => {
    if (REPORTED.has(error.code)) reported.add(request)
    else logError(request, error)
    done()
  })
  if (!['trace', 'debug', 'info'].includes(gateway.log.level)) return
  gateway.addHook('onResponse', (request, reply, done) => {
    if (!reported.has(request)) request.log.info({ res: reply, responseTime: reply.elapsedTime, remoteAddress: request.ip }, 'request completed')
    done()
  })
}

/** The gateway's own errors need no stack. Anything else is a fault to be found. */
function logError (request: FastifyRequest, error: FastifyError): void {
  if ((error.statusCode ?? 500) < 500 || EXPECTED.has(error.code)) request.log.info({ code: error.code }, error.message)
  else if (error.code?.startsWith('FST_')) request.log.error({ code: error.code }, error.message)
  else request.log.error(error)
}
