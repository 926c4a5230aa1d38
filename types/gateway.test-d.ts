// Type tests: `npm run typecheck` compiles them; nothing runs them.
import type { FastifyInstance } from 'fastify'
import { createGateway } from '../lib/gateway.js'
import type { GatewayOptions } from '../lib/gateway.js'

const options: GatewayOptions = {
  upstream: 'http://127.0.0.1:5000',
  staticPrefix: '/mlflow',
  upstreamTimeout: 60,
  upstreamCa: Buffer.from(''),
  allowedHosts: ['mlflow.company.com'],
  frameAncestors: 'https://notebook.company.com',
  tls: { cert: '', key: '' },
  fastify: { logger: true, trustProxy: '127.0.0.1' }
}
const gateway: FastifyInstance = createGateway(options)
gateway.mlflowSecurity.inspect({ headers: {} })
createGateway()
createGateway({ upstream: process.env.UPSTREAM })

// @ts-expect-error a wrong type
createGateway({ upstream: 5000 })
// @ts-expect-error an unknown option
createGateway({ upstreams: [] })
// @ts-expect-error a setting of the plugin, wrong
createGateway({ xFrameOptions: 'ALLOWALL' })
