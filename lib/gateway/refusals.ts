import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

/** MLflow's names for what went wrong, by which its Python client tells it: `PERMISSION_DENIED: Invalid Host header …`. */
const ERROR_CODES: Readonly<Record<string, string>> = {
  FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED: 'PERMISSION_DENIED',
  FST_MLFLOW_SECURITY_HOST_MALFORMED: 'INVALID_PARAMETER_VALUE',
  FST_MLFLOW_SECURITY_CROSS_ORIGIN: 'PERMISSION_DENIED'
}

/**
 * An error handler: a refusal is answered in the form that MLflow's clients read, or as a page where a browser asks for one. Any
 * other error goes on to Fastify's own handler.
 */
export function answerRefusal (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const errorCode = ERROR_CODES[error.code]
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
<p>The gateway in front of this MLflow server has refused the request. This is why, and what whoever runs the server can do about it:</p>
<p>${escape(message)}</p>
<p><code>${code}</code></p>
`
}

function escape (text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
