import type { FastifyInstance, FastifyReply } from 'fastify'
import { descendants } from './instance.js'

/**
 * Express middleware answers on Node's response, so Fastify's headers and onSend hooks do not apply to it. Therefore, if
 * `@fastify/middie` or `@fastify/express` is loaded on any instance, the headers are put on Node's response as well.
 *
 * @returns a function that copies the reply's headers to Node's response, on servers that have middleware
 */
export function createHandOver (root: FastifyInstance): (reply: FastifyReply) => void {
  const findMiddleware = () => [root, ...descendants(root)].some(instance => instance.hasDecorator('use'))
  let hasMiddleware = false
  if (findMiddleware()) {
    root.log.warn('Middleware was registered before fastify-mlflow-security, and answers before any check: register fastify-mlflow-security first')
  }
  root.addHook('onReady', done => {
    hasMiddleware = findMiddleware()
    done()
  })
  return reply => {
    if (!hasMiddleware) return
    for (const [name, value = ''] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, value)
  }
}
