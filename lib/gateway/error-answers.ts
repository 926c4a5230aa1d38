import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** MLflow's names for errors. Its Python client shows them: `PERMISSION_DENIED: Invalid Host header …`. */
const ERROR_CODES: ReadonlyMap<string, string> = new Map([
  ['FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED', 'PERMISSION_DENIED'],
  ['FST_MLFLOW_SECURITY_HOST_MALFORMED', 'INVALID_PARAMETER_VALUE'],
  ['FST_MLFLOW_SECURITY_CROSS_ORIGIN', 'PERMISSION_DENIED'],
  ['FST_MLFLOW_SECURITY_AMBIGUOUS_PATH', 'INVALID_PARAMETER_VALUE'],
  ['FST_MLFLOW_SECURITY_DOUBLED_HOST', 'INVALID_PARAMETER_VALUE'],
  ['FST_MLFLOW_SECURITY_HEADERS_TOO_LARGE', 'INVALID_PARAMETER_VALUE'],
  ['FST_MLFLOW_SECURITY_CODED_TRANSFER', 'NOT_IMPLEMENTED'],
  ['FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE', 'TEMPORARILY_UNAVAILABLE'],
  ['FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT', 'DEADLINE_EXCEEDED'],
  ['FST_MLFLOW_SECURITY_LOOP', 'INTERNAL_ERROR'],
  ['FST_MLFLOW_SECURITY_STARTING', 'TEMPORARILY_UNAVAILABLE'],
  ['FST_MLFLOW_SECURITY_DRAINING', 'TEMPORARILY_UNAVAILABLE']
])

/**
 * The error handler of a route. It answers as {@link answerRefusal} does, unless the app has an error handler of its own. Routes
 * that the gateway has not added keep theirs.
 */
export function answerUnlessHandled (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  if (hasOwnErrorHandler(request.server)) reply.send(error) // the app's handler runs next
  else answerRefusal(error, request, reply)
}

/** Only its name shows that an error handler is Fastify's own. One that an app sets is named `bound …`. */
export function hasOwnErrorHandler ({ errorHandler }: Pick<FastifyInstance, 'errorHandler'>): boolean {
  return errorHandler.name !== 'defaultErrorHandler'
}

/**
 * An error handler. It answers the gateway's own errors in the form that MLflow's clients read, or as a page if a browser asks
 * for one. Any other error goes on to Fastify's own handler.
 */
export function answerRefusal (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const errorCode = ERROR_CODES.get(error.code)
  if (errorCode === undefined) {
    reply.send(error)
    return
  }
  const { code, message, statusCode = 403 } = error
  reply.code(statusCode)
  if (/(^|,)\s*text\/html\s*(;|,|$)/i.test(request.headers.accept ?? '')) {
    reply.type('text/html; charset=utf-8').header('content-security-policy', CSP).send(page(statusCode, code, message))
    return
  }
  reply.send({ statusCode, code, error: STATUS_CODES[statusCode], message, error_code: errorCode })
}

const CSP = "default-src 'none'; style-src 'unsafe-inline'"

const STYLE = ':root{color-scheme:light dark}body{font:1rem/1.6 system-ui,sans-serif;max-width:44rem;margin:10vh auto;padding:0 1.5rem}' +
  'p{overflow-wrap:anywhere}code{font-family:ui-monospace,monospace}'

function page (statusCode: number, code: string, message: string): string {
  const title = `${statusCode} ${STATUS_CODES[statusCode]}`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>${STYLE}</style>
<h1>${title}</h1>
<p>The gateway in front of this MLflow server ${statusCode < 500 ? 'has refused the request' : 'cannot answer the request'}. This is the reason, and what the people who run the server can do about it:</p>
<p>${escape(message)}</p>
<p><code>${code}</code></p>
`
}

function escape (text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
