import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import staticFiles from '@fastify/static'
import mlflowSecurity from 'fastify-mlflow-security'

const CHANNEL = 'fastify-mlflow-security.refused'
const REMEMBERED = 50

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'"
const FRAME_ANCESTORS = { SAMEORIGIN: "; frame-ancestors 'self'", DENY: "; frame-ancestors 'none'", NONE: '' }

const text = { type: 'string', maxLength: 2000 }
const VERDICT_SCHEMA = {
  body: {
    type: 'object',
    required: ['method'],
    additionalProperties: false,
    properties: { method: text, host: text, origin: text, site: text, preflight: { type: 'boolean' }, upgrade: { type: 'boolean' } }
  }
}

/**
 * @param {import('fastify-mlflow-security').MlflowSecurityOptions} settings
 * @param {import('fastify').FastifyServerOptions} serverOptions
 */
export async function buildPlayground (settings, serverOptions = {}) {
  const playground = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true, ...serverOptions })
  await playground.register(mlflowSecurity, settings)
  const policy = policyUnder(playground.mlflowSecurity.settings)
  playground.addHook('onRequest', async (request, reply) => { reply.header('content-security-policy', policy) })
  await playground.register(staticFiles, { root: fileURLToPath(new URL('public', import.meta.url)) })

  playground.get('/settings', async () => playground.mlflowSecurity.settings)
  playground.post('/verdict', { schema: VERDICT_SCHEMA }, async ({ body }) => playground.mlflowSecurity.inspect(toRequest(body)))
  addRefusals(playground)
  return playground
}

// Browsers heed frame-ancestors in place of X-Frame-Options: a policy that says something else would undo the setting.
function policyUnder ({ xFrameOptions, frameAncestors, disableSecurityMiddleware }) {
  const pluginAddsThem = frameAncestors.length > 0 && !disableSecurityMiddleware
  return pluginAddsThem ? POLICY : POLICY + FRAME_ANCESTORS[xFrameOptions]
}

/** The request that the form describes, as Node would hand it over. A field that is left out is a header that is not sent. */
function toRequest ({ method, host, origin, site, preflight = false, upgrade = false }) {
  const headers = {
    ...(host === undefined ? {} : { host }),
    ...(origin === undefined ? {} : { origin }),
    ...(site === undefined ? {} : { 'sec-fetch-site': site }),
    ...(preflight ? { 'access-control-request-method': 'POST' } : {}),
    ...(upgrade ? { connection: 'upgrade', upgrade: 'websocket' } : {})
  }
  return { method, url: '/', headers, rawHeaders: Object.entries(headers).flat() }
}

/** The refusals as server-sent events: those of before first, each new one as it happens. */
function addRefusals (playground) {
  const past = []
  const readers = new Set()

  function onRefusal (refusal) {
    const event = `data: ${JSON.stringify({ ...refusal, at: new Date().toISOString() })}\n\n`
    past.push(event)
    if (past.length > REMEMBERED) past.shift()
    for (const reader of readers) reader.write(event)
  }
  subscribe(CHANNEL, onRefusal)
  playground.addHook('onClose', async () => unsubscribe(CHANNEL, onRefusal))

  // A HEAD request would wait for an end that never comes.
  playground.get('/refusals', { exposeHeadRoute: false }, (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { ...reply.getHeaders(), 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    reply.raw.write(`retry: 1000\n\n${past.join('')}`)
    readers.add(reply.raw)
    reply.raw.on('close', () => readers.delete(reply.raw))
  })
}
