import { channel } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { createGateway } from '../../lib/gateway.js'
import { addMetrics, createMetricsServer } from '../../lib/gateway/metrics.js'
import { listen, request } from '../fixtures/server.js'
import { echo, upstream } from '../fixtures/upstream.js'
import type { GatewayOptions } from '../../lib/gateway.js'

const HOST = ['Host', 'localhost'] as const

interface Counted { readonly app: FastifyInstance, readonly port: number, readonly own: number, figures (): Promise<string> }

async function counted (t: Test, options: GatewayOptions): Promise<Counted> {
  const app = createGateway({ ...options, fastify: { forceCloseConnections: true } })
  t.teardown(() => app.close())
  const registry = await addMetrics(app)
  const port = await listen(app)
  const server = createMetricsServer(registry, app.mlflowSecurity.settings)
  t.teardown(() => server.close())
  return { app, port, own: await listen(server), figures: () => registry.metrics() }
}

t.test('requests, refusals and the time of the upstream are counted', async t => {
  const target = await upstream(t, (request, response) => { setTimeout(() => response.end('ok'), request.url === '/slow' ? 60 : 0) })
  const { port, own, figures } = await counted(t, { upstream: target, allowedHosts: 'mlflow.company.com' })
  const company = ['Host', 'mlflow.company.com'] as const
  for (const path of ['/a', '/slow']) await request(port, 'GET', path, [company])
  await request(port, 'POST', '/a', [company, ['Origin', 'https://evil.com']])
  await request(port, 'GET', '/a', [['Host', 'evil.com']])
  await request(port, 'GET', '/./x', [company])

  const { status, headers, body } = await request(own, 'GET', '/metrics', [company])
  t.equal(status, 200)
  t.match(headers['content-type'], /^text\/plain; version=0\.0\.4/)
  const lines = body.split('\n')
  for (const line of [
    '# HELP mlflow_gateway_requests_total Answered requests. Requests that the HTTP parser or the router has refused are not counted',
    '# TYPE mlflow_gateway_requests_total counter',
    'mlflow_gateway_requests_total{method="GET",status="200"} 2',
    'mlflow_gateway_requests_total{method="POST",status="403"} 1',
    'mlflow_gateway_requests_total{method="GET",status="403"} 1',
    '# HELP mlflow_gateway_refusals_total Refused requests, those for /metrics included. With report_only true: requests that would have been refused',
    '# TYPE mlflow_gateway_refusals_total counter',
    'mlflow_gateway_refusals_total{code="FST_MLFLOW_SECURITY_CROSS_ORIGIN",report_only="false"} 1',
    'mlflow_gateway_refusals_total{code="FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED",report_only="false"} 1',
    '# HELP mlflow_gateway_upstream_seconds Seconds until the MLflow server began its answer',
    '# TYPE mlflow_gateway_upstream_seconds histogram',
    'mlflow_gateway_upstream_seconds_count 2',
    '# TYPE process_resident_memory_bytes gauge'
  ]) t.ok(lines.includes(line), line)
  const buckets = lines.flatMap(line => /^mlflow_gateway_upstream_seconds_bucket\{le="(.*)"\}/.exec(line)?.[1] ?? [])
  t.strictSame(buckets, ['0.005', '0.01', '0.025', '0.05', '0.1', '0.25', '0.5', '1', '2.5', '5', '10', '30', '60', '+Inf'])
  t.ok(Number(/_seconds_sum (.*)/.exec(body)?.[1]) >= 0.05, 'the slow answer has been waited for')
  t.match(await figures(), /^nodejs_version_info/m)
})

t.test('the figures are as protected as the gateway', async t => {
  const { own } = await counted(t, { upstream: await echo(t), allowedHosts: 'mlflow.company.com' })
  const status = async (port: number, host: string) => (await request(port, 'GET', '/metrics', [['Host', host]])).status
  t.equal(await status(own, 'mlflow.company.com'), 200)
  t.equal(await status(own, '127.0.0.1'), 200, 'by address, though the list has none')
  t.equal(await status(own, 'evil.com'), 403)
  for (const options of [{ reportOnly: true }, { disableSecurityMiddleware: true }]) {
    const open = await counted(t, { upstream: await echo(t), ...options })
    t.equal(await status(open.own, 'evil.com'), 200, Object.keys(options).join())
  }
})

t.test('with reportOnly what would have been refused is counted as such', async t => {
  const { port, figures } = await counted(t, { upstream: await echo(t), reportOnly: true })
  t.equal((await request(port, 'GET', '/', [['Host', 'evil.com']])).status, 200)
  t.match(await figures(), /^mlflow_gateway_refusals_total\{code="FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED",report_only="true"\} 1$/m)
})

t.test('an upstream that does not answer has no time', async t => {
  const { port, figures } = await counted(t, { upstream: 'http://127.0.0.1:1' })
  t.equal((await request(port, 'GET', '/', [HOST])).status, 502)
  t.match(await figures(), /^mlflow_gateway_upstream_seconds_count 0$/m)
  t.match(await figures(), /^mlflow_gateway_requests_total\{method="GET",status="502"\} 1$/m)
})

t.test('what others publish on the channel is not counted, and nothing after the end', async t => {
  const { app, figures } = await counted(t, { upstream: await echo(t) })
  const refused = channel('fastify-mlflow-security.refused')
  const code = 'FST_MLFLOW_SECURITY_HOST_NOT_ALLOWED'
  const count = async () => [...(await figures()).matchAll(/^mlflow_gateway_refusals_total\{.*\} (\d+)$/gm)].map(([, number]) => number)
  for (const message of [undefined, null, 'code', {}, code]) refused.publish(message)
  t.strictSame(await count(), [])
  refused.publish({ code, reportOnly: false })
  t.strictSame(await count(), ['1'])
  await app.close()
  t.equal(refused.hasSubscribers, false)
  refused.publish({ code, reportOnly: false })
  t.strictSame(await count(), ['1'])
})
