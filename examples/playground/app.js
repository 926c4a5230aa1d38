// The playground's own server: the page, the settings in force, the refusals as they happen, and the requests to try.
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import staticFiles from '@fastify/static'
import mlflowSecurity from 'fastify-mlflow-security'
import { checkSettings, tryRequest } from './lab.js'

const REMEMBERED = 50

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'"
const FRAME_ANCESTORS = { SAMEORIGIN: "; frame-ancestors 'self'", DENY: "; frame-ancestors 'none'", NONE: '' }

const text = { type: 'string', maxLength: 2000 }
// A line break would begin another header.
const line = { ...text, pattern: '^[^\\r\\n]*$' }
const flag = { type: 'boolean' }
const SETTINGS = {
  type: 'object',
  additionalProperties: false,
  properties: { allowedHosts: text, corsAllowedOrigins: text, xFrameOptions: text, disableSecurityMiddleware: flag }
}
const REQUEST = {
  type: 'object',
  required: ['method'],
  additionalProperties: false,
  properties: {
    method: { enum: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] },
    host: line,
    origin: line,
    site: line,
    cookie: flag,
    preflight: flag,
    upgrade: flag
  }
}
const body = properties => ({ schema: { body: { type: 'object', required: Object.keys(properties), properties } } })

/** @param {import('fastify-mlflow-security').MlflowSecurityOptions} settings */
export async function buildPlayground (settings) {
  const refusals = new Refusals()
  const stream = {
    write (entry) {
      process.stdout.write(entry)
      refusals.readLog(JSON.parse(entry))
    }
  }
  const playground = Fastify({ logger: { level: 'warn', stream }, forceCloseConnections: true })
  await playground.register(mlflowSecurity, settings)
  const inForce = playground.mlflowSecurity.settings
  const policy = policyUnder(inForce)
  playground.addHook('onRequest', async (request, reply) => { reply.header('content-security-policy', policy) })
  await playground.register(staticFiles, { root: fileURLToPath(new URL('public', import.meta.url)) })

  const whatIf = changed => ({ ...settings, ...changed })
  playground.setErrorHandler(explainSettings)
  playground.get('/settings', async () => inForce)
  playground.post('/check', body({ settings: SETTINGS }), async ({ body }) => checkSettings(whatIf(body.settings)))
  playground.post('/try', body({ settings: SETTINGS, request: REQUEST }), async ({ body }) => {
    const { log, ...outcome } = await tryRequest(whatIf(body.settings), body.request)
    for (const entry of log) refusals.readLog(entry)
    return outcome
  })
  // A HEAD request would wait for an end that never comes.
  playground.get('/refusals', { exposeHeadRoute: false }, (request, reply) => refusals.sendTo(reply))
  return playground
}

// Browsers heed frame-ancestors in place of X-Frame-Options: a policy that says something else would undo the setting.
function policyUnder ({ xFrameOptions, frameAncestors, disableSecurityMiddleware }) {
  const pluginAddsThem = frameAncestors.length > 0 && !disableSecurityMiddleware
  return pluginAddsThem ? POLICY : POLICY + FRAME_ANCESTORS[xFrameOptions]
}

// To an app of one's own a wrong setting stops the start. Here it is what the person at the page typed in.
function explainSettings (error, request, reply) {
  const { code, message } = error
  if (code === 'FST_MLFLOW_SECURITY_INVALID_OPTION') reply.code(400).send({ code, message })
  else reply.send(error)
}

/** The refusals as server-sent events: the last ones first, then each new one as it happens. */
class Refusals {
  #past = []
  #readers = new Set()

  /** The plugin logs each refusal in one line: the reason is the message, the facts are its fields. */
  readLog ({ code, statusCode, method, url, host, origin, reportOnly, msg, time }) {
    if (!/^FST_MLFLOW_SECURITY_(HOST|CROSS)/.test(code)) return
    const event = `data: ${JSON.stringify({ code, statusCode, method, url, host, origin, reportOnly, reason: msg, at: time })}\n\n`
    this.#past.push(event)
    if (this.#past.length > REMEMBERED) this.#past.shift()
    for (const reader of this.#readers) reader.write(event)
  }

  sendTo (reply) {
    reply.hijack()
    reply.raw.writeHead(200, { ...reply.getHeaders(), 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    reply.raw.write(`retry: 1000\n\n${this.#past.join('')}`)
    this.#readers.add(reply.raw)
    reply.raw.on('close', () => this.#readers.delete(reply.raw))
  }
}
