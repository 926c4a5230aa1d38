import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'

/** A `warn` line says everything about these already. */
const REPORTED = new Set([
  'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 'FST_MLFLOW_SECURITY_HOST_MALFORMED', 'FST_MLFLOW_SECURITY_CROSS_ORIGIN',
  'FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE', 'FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT'
])
/** No fault of anybody's: the gateway starts or ends. */
const EXPECTED = new Set(['FST_MLFLOW_SECURITY_STARTING', 'FST_MLFLOW_SECURITY_DRAINING'])

/**
 * Writes one line for each request that has had its answer; the gateway itself has one for those that have not. Fastify would
 * write two, and for a refusal four.
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

/** What the gateway itself says needs no stack; anything else is a fault to be found. */
function logError (request: FastifyRequest, error: FastifyError): void {
  if ((error.statusCode ?? 500) < 500 || EXPECTED.has(error.code)) request.log.info({ code: error.code }, error.message)
  else if (error.code?.startsWith('FST_')) request.log.error({ code: error.code }, error.message)
  else request.log.error(error)
}
