import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { get as secureGet } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { createRefusalAdvice, warnOnce } from '../gateway/log-advice.js'
import type { Upstream } from '../gateway/options.js'
import { UPSTREAM_NAME } from '../gateway/table.js'
import { explain } from '../gateway/explain-failure.js'

/** Milliseconds. */
const TIMEOUT = 10_000

/**
 * Asks the MLflow server once, as the gateway will, and logs one warning if that fails. The gateway serves all the same: a
 * server that is down now may be up in a minute.
 *
 * @param gateway - a gateway that listens
 * @param staticPrefix - empty, or `/mlflow`
 * @param timeout - milliseconds
 */
export async function probe (gateway: FastifyInstance, upstream: Upstream, staticPrefix = '', timeout = TIMEOUT): Promise<void> {
  try {
    const answer = await ask(upstream, `${staticPrefix}/`, timeout)
    if (answer.statusCode === 403) {
      const { disableSecurityMiddleware } = gateway.mlflowSecurity.settings
      createRefusalAdvice(gateway, upstream.host, !disableSecurityMiddleware)(await beginning(answer))
    }
    answer.destroy()
    const problem = await findMisplaced(upstream, staticPrefix, answer, timeout)
    if (problem !== undefined) warnOnce(gateway, problem)
  } catch (error) {
    warnOnce(gateway, explain(error, upstream))
  }
}

/**
 * An answer may come from the wrong place. A server behind a login answers 401 or 302, so only two answers are telling: 404 on
 * the page and on `/health`, which every MLflow server has, and the 400 by which servers tell http from https.
 */
async function findMisplaced (
  upstream: Upstream, staticPrefix: string, { statusCode }: IncomingMessage, timeout: number
): Promise<string | undefined> {
  const { origin, host, path } = upstream
  if (statusCode === 400 && origin.startsWith('http:')) return `${UPSTREAM_NAME}: ${origin} answered 400. Does it want https://${host}?`
  if (statusCode !== 404) return undefined
  const health = await ask(upstream, `${staticPrefix}/health`, timeout)
  health.destroy()
  if (health.statusCode !== 404) return undefined
  return `${UPSTREAM_NAME}: ${origin} answered 404 at ${path}${staticPrefix}/ and ${path}${staticPrefix}/health. Is the path of --upstream or --static-prefix right?`
}

function ask ({ origin, path, ca }: Upstream, target: string, timeout: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, headers: { accept: 'text/html' }, timeout }
    const url = `${origin}${path}${target}`
    const request = url.startsWith('https:')
      ? secureGet(url, { ...options, ...(ca === undefined ? {} : { ca }) }, resolve)
      : get(url, options, resolve)
    request.once('timeout', () => request.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
    request.once('error', reject)
    request.once('socket', socket => socket.unref()) // it must not keep a gateway that ends
  })
}

/** @returns the first piece of the body, empty if there is none */
async function beginning (answer: IncomingMessage): Promise<Buffer> {
  const { value } = await answer[Symbol.asyncIterator]().next()
  return Buffer.from(value ?? '')
}
