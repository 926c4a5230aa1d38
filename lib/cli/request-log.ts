import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** Their `warn` line says everything. */
const REFUSALS = new Set(['FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 'FST_MLFLOW_SECURITY_HOST_MALFORMED', 'FST_MLFLOW_SECURITY_CROSS_ORIGIN'])
/** No fault of anybody's: the gateway starts or ends. */
const EXPECTED = new Set(['FST_MLFLOW_SECURITY_STARTING', 'FST_MLFLOW_SECURITY_DRAINING'])

/**
 * Writes one line for each request, at its end: refused, completed, or left by a client that hung up. Fastify would write two,
 * and for a refusal four.
 *
 * @param gateway - before it is ready
 */
export function addRequestLog (gateway: FastifyInstance): void {
  const refused = new WeakSet<FastifyRequest>()
  gateway.addHook('onError', (request, _reply, error, done) => {
    if (REFUSALS.has(error.code)) refused.add(request)
    else logError(request, error)
    done()
  })
  if (!isInfo(gateway)) return
  gateway.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw // later it may be gone
    reply.raw.once('close', () => { if (!refused.has(request)) logEnd(request, reply, socket) })
    done()
  })
}

function isInfo ({ log }: FastifyInstance): boolean {
  return ['trace', 'debug', 'info'].includes(log.level)
}

/** What the gateway itself says needs no stack; anything else is a fault to be found. */
function logError (request: FastifyRequest, error: FastifyError): void {
  if ((error.statusCode ?? 500) < 500 || EXPECTED.has(error.code)) request.log.info({ code: error.code }, error.message)
  else if (error.code?.startsWith('FST_')) request.log.error({ code: error.code }, error.message)
  else request.log.error(error)
}

function logEnd (request: FastifyRequest, reply: FastifyReply, socket: Socket): void {
  const answer = reply.raw.headersSent ? { res: reply } : {}
  const fields = { ...answer, responseTime: reply.elapsedTime, remoteAddress: request.ip }
  request.log.info(fields, reply.raw.writableFinished ? 'request completed' : whoBrokeOff(socket))
}

/** The side that is still whole has not hung up. */
function whoBrokeOff ({ readableEnded, errored }: Socket): string {
  return readableEnded || errored !== null ? 'the client has hung up' : 'the answer has been cut off'
}
