import { randomBytes } from 'node:crypto'
import { maxHeaderSize } from 'node:http'
import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify'
import { createFrameAncestorsEditor } from '../http/content-security-policy.js'
import { compileFrameAncestors } from '../rules/frame-ancestors.js'
import { decisionOf } from '../hooks/decision.js'
import type { Decision } from '../hooks/decision.js'
import { hasTwoHosts } from '../grammar/host-of-request.js'
import mlflowSecurity from '../index.js'
import { createRefusalAdvice } from './log-advice.js'
import { refuseLatecomers, warnOfMissing } from './app-requirements.js'
import { createClient } from './upstream-client.js'
import { AmbiguousPathError, CodedTransferError, DoubledHostError, LoopError } from './errors.js'
import { Exchange } from './exchange.js'
import type { ExchangeContext } from './exchange.js'
import { endJoined } from './join-sockets.js'
import { refuseAppOptions, refuseSecuritySettings, resolveGatewayOptions } from './options.js'
import type { GatewayPluginOptions, GatewaySettings } from './options.js'
import { isAmbiguous } from './ambiguous-path.js'
import { answerUnlessHandled } from './error-answers.js'
import { addRoutes } from './routes.js'
import { routeUpgrades } from './upgrade.js'

/** Milliseconds for the upstream's answer to an upgrade. */
const UPGRADE_TIMEOUT = 10_000

const NAME = 'fastify-mlflow-security-gateway'

const mlflowGateway: FastifyPluginAsync<GatewayPluginOptions> = async (app, options) => {
  refuseAppOptions(options)
  const settings = resolveGatewayOptions(options, process.env)
  if (!app.hasDecorator('mlflowSecurity')) await app.register(mlflowSecurity, settings.security)
  else refuseSecuritySettings(options)

  const context = await createContext(app, settings)
  app.addHook('onClose', () => context.client.close())
  app.addHook('preClose', async () => { endJoined(app.server) })
  continueWhenAllowed(app)
  addRoutes(app, settings, {
    config: {},
    preParsing: setTypeAside(app),
    preHandler: (request, _reply, done) => { done(refusal(request, context)) },
    handler: createHandler(context, decisionOf(app)),
    errorHandler: answerUnlessHandled
  })
  routeUpgrades(app)
  warnOfTrial(app)
  app.addHook('onReady', async () => {
    refuseLatecomers(app.printPlugins(), NAME)
    warnOfMissing(app)
  })
}

async function createContext (app: FastifyInstance, { upstream }: GatewaySettings): Promise<ExchangeContext> {
  const { server, mlflowSecurity: { settings } } = app
  const limit = 'maxHeaderSize' in server && typeof server.maxHeaderSize === 'number' ? server.maxHeaderSize : maxHeaderSize
  const checks = !settings.disableSecurityMiddleware
  const { directive } = compileFrameAncestors(settings.frameAncestors)
  return {
    upstream,
    via: `1.1 mlflow-gateway-${randomBytes(4).toString('hex')}`,
    checks,
    ancestors: directive === undefined || !checks ? undefined : createFrameAncestorsEditor(directive),
    isDown: false,
    upgradeTimeout: upstream.headersTimeout > 0 ? upstream.headersTimeout : UPGRADE_TIMEOUT,
    client: await createClient(upstream, limit),
    advise: createRefusalAdvice(app, upstream.host, checks)
  }
}

function createHandler (context: ExchangeContext, { frameOptionsOf }: Decision): (request: FastifyRequest, reply: FastifyReply) => void {
  return (request, reply) => { new Exchange(context, request, reply, frameOptionsOf(request)).start() }
}

/** Refuses what cannot be passed on unchanged. */
function refusal ({ raw }: FastifyRequest, { via, checks }: ExchangeContext): Error | undefined {
  const { headers, rawHeaders, url } = raw
  if (headers.via?.includes(via) === true) return new LoopError()
  if (isAmbiguous(url)) return new AmbiguousPathError()
  const coding = headers['transfer-encoding']
  if (coding !== undefined && !/^\s*chunked\s*$/i.test(coding)) return new CodedTransferError()
  // The Host has not been checked.
  if (!checks && hasTwoHosts(rawHeaders)) return new DoubledHostError()
  return undefined
}

/** A client that asks before it sends a large body (Expect: 100-continue) is told to go on only if its request is allowed. */
function continueWhenAllowed (app: FastifyInstance): void {
  app.server.on('checkContinue', app.routing)
  app.addHook('preParsing', (request, reply, _payload, done) => {
    if (request.headers.expect !== undefined && request.raw.httpVersion !== '1.0') reply.raw.writeContinue()
    done()
  })
}

/**
 * Fastify chooses a parser by the Content-Type, and refuses a malformed one. So the gateway's routes put a type of their own in
 * place for that moment. Its parser reads nothing and puts the client's type back. Hooks then see the client's type, the app's
 * other routes parse bodies as always, and only the upstream reads the gateway's bodies.
 */
function setTypeAside (app: FastifyInstance): preParsingHookHandler {
  const own = `application/x-mlflow-gateway-${randomBytes(8).toString('hex')}`
  const aside = new WeakMap<FastifyRequest, string | undefined>()
  app.addContentTypeParser(own, (request: FastifyRequest, _payload: unknown, done: (error: null) => void) => {
    const type = aside.get(request)
    if (type === undefined) delete request.headers['content-type']
    else request.headers['content-type'] = type
    done(null)
  })
  return (request, _reply, _payload, done) => {
    if (!BODYLESS.has(request.method)) {
      aside.set(request, request.headers['content-type'])
      request.headers['content-type'] = own
    }
    done()
  }
}

/** Fastify uses no parser for these methods. Their bodies pass as well. */
const BODYLESS = new Set(['GET', 'HEAD', 'TRACE'])

const TRIAL = 'reportOnly is on: the MLflow server gets its own Host and no Origin, so its own checks pass everything too. ' +
  'During the trial nobody refuses a foreign request'

function warnOfTrial ({ log, mlflowSecurity: { settings } }: FastifyInstance): void {
  if (settings.reportOnly && !settings.disableSecurityMiddleware) log.warn(TRIAL)
}

/** The gateway as a Fastify plugin: register it last. */
export const gatewayPlugin = fp(mlflowGateway, { fastify: '5.x', name: NAME })
