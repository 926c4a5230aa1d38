import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { get as secureGet } from 'node:https'
import type { FastifyInstance } from 'fastify'
import { createRefusalAdvice, warnOnce } from '../gateway/advice.js'
import type { Upstream } from '../gateway/options.js'
import { codeOf } from './failures.js'

/** Milliseconds. */
const TIMEOUT = 10_000
const NAME = '--upstream (MLFLOW_TRACKING_URI)'
const MEANWHILE = 'Until then requests get 502.'

/**
 * Asks the MLflow server once, as the gateway will, and logs one warning if that fails. The gateway serves all the same: a
 * server that is down now may be up in a minute.
 *
 * @param gateway - a gateway that listens
 * @param timeout - milliseconds
 */
export async function probe (gateway: FastifyInstance, upstream: Upstream, timeout = TIMEOUT): Promise<void> {
  try {
    const answer = await ask(upstream, timeout)
    if (answer.statusCode === 403) {
      const { disableSecurityMiddleware } = gateway.mlflowSecurity.settings
      createRefusalAdvice(gateway, upstream.host, disableSecurityMiddleware)(await beginning(answer))
    }
    answer.destroy()
  } catch (error) {
    warnOnce(gateway, explain(error, upstream))
  }
}

function ask ({ origin, path, ca }: Upstream, timeout: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, headers: { accept: 'text/html' }, timeout }
    const url = `${origin}${path}/`
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

/** Explains an error and names the flags. The codes are those of Node.js and OpenSSL (X509_verify_cert_error_string). */
export function explain (error: unknown, { origin, host, ca }: Pick<Upstream, 'origin' | 'host' | 'ca'>): string {
  const code = codeOf(error)
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${NAME}: the name in ${origin} does not resolve to an address. Is it spelt right, and does this machine know it? ${MEANWHILE}`
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `${NAME}: ${origin} has a certificate that ${ca === undefined ? 'no well-known authority has' : 'nobody in the file of --upstream-ca has'} ` +
        `signed (${code}). Name the file with the certificate to trust: --upstream-ca FILE. ${MEANWHILE}`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'CERT_HAS_EXPIRED':
      return `${NAME}: the certificate of ${origin} is not valid for it (${reasonOf(error)}). Use a name that stands in it, or renew it. ${MEANWHILE}`
    case 'EPROTO':
      return `${NAME}: ${origin} does not speak TLS. Is it http://${host}? ${MEANWHILE}`
    default:
      return `${NAME}: ${origin} does not answer (${code || reasonOf(error)}). Is the MLflow server running there? ${MEANWHILE}`
  }
}

function reasonOf (error: unknown): string {
  return String(error).replace(/^Error: /, '')
}
