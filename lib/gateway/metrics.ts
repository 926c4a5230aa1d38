import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import { CHANNEL } from '../hooks/report.js'
import mlflowSecurity from '../index.js'
import { loadOptional } from './optional-dependency.js'
import { observe } from './observers.js'
import type { Refusal, Settings } from '../../types/index.js'

/**
 * Counts what a gateway does, for Prometheus.
 *
 * @param gateway - before it is ready
 * @param dropped - how many lines the log has lost so far
 * @throws FST_MLFLOW_SECURITY_MISSING_DEPENDENCY
 */
export async function addMetrics (gateway: FastifyInstance, dropped: () => number = () => 0): Promise<Registry> {
  const { Counter, Histogram, Registry, collectDefaultMetrics } = await loadOptional('prom-client', () => import('prom-client'))
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({
    name: 'mlflow_gateway_requests_total', help: 'Answered requests. Requests that the HTTP parser or the router has refused are not counted', labelNames: ['method', 'status'], registers: [registry]
  })
  const refusals = new Counter({
    name: 'mlflow_gateway_refusals_total',
    help: 'Refused requests, those for /metrics included. With report_only true: requests that would have been refused',
    labelNames: ['code', 'report_only'],
    registers: [registry]
  })
  const latency = new Histogram({
    name: 'mlflow_gateway_upstream_seconds',
    help: 'Seconds until the MLflow server began its answer',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers: [registry]
  })
  const lost = new Counter({
    name: 'mlflow_gateway_log_lines_dropped_total',
    help: 'Lines of the log that could not be written: a full disk, a closed pipe, or a pipe that nobody reads',
    registers: [registry],
    collect () { lost.reset(); lost.inc(dropped()) }
  })

  const asked = new WeakMap<FastifyRequest, () => number>()
  gateway.addHook('preHandler', (request, _reply, done) => { asked.set(request, latency.startTimer()); done() })
  gateway.addHook('onResponse', ({ method }, { statusCode }, done) => { requests.inc({ method, status: statusCode }); done() })
  observe(gateway.server, {
    answered: request => { asked.get(request)?.() },
    ended: ({ method }, status) => { requests.inc({ method, status }) }
  })

  const count = (message: unknown): void => {
    if (isRefusal(message)) refusals.inc({ code: message.code, report_only: String(message.reportOnly) })
  }
  subscribe(CHANNEL, count)
  gateway.addHook('onClose', () => { unsubscribe(CHANNEL, count) })
  return registry
}

function isRefusal (message: unknown): message is Refusal {
  return typeof message === 'object' && message !== null && 'code' in message
}

/** @returns an app that serves the metrics at `/metrics`, with the gateway's own protection. It does not listen yet */
export function createMetricsServer (
  registry: Registry, { allowedHosts, disableSecurityMiddleware, reportOnly }: Settings
): FastifyInstance {
  const app = Fastify()
  // Prometheus may ask by a private address (the default list) or by the names that people use.
  app.register(mlflowSecurity, { allowedHosts: ['@default', ...allowedHosts], disableSecurityMiddleware, reportOnly })
  app.get('/metrics', async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()))
  return app
}
