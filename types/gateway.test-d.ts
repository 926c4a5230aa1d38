// Type tests: `npm run typecheck` compiles them; nothing runs them.
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import mlflowGateway, { createGateway } from '../lib/gateway.js'
import type { GatewayOptions, GatewayPluginOptions } from '../lib/gateway.js'

const options: GatewayOptions = {
  upstream: 'http://127.0.0.1:5000',
  staticPrefix: '/mlflow',
  upstreamTimeout: 60,
  upstreamCa: Buffer.from(''),
  allowedHosts: ['mlflow.company.com'],
  frameAncestors: 'https://notebook.company.com',
  callbackPaths: ['/callback'],
  before: async app => { await app.register(async login => { login.addHook('onRequest', async () => {}) }) },
  tls: { cert: '', key: '' },
  fastify: { logger: true, trustProxy: '127.0.0.1' }
}
const gateway: FastifyInstance = createGateway(options)
gateway.mlflowSecurity.inspect({ headers: {} })
createGateway()
createGateway({ upstream: process.env.UPSTREAM })
createGateway({ callbackPaths: '/callback,/saml', before: app => { app.get('/login', async () => 'login') } })
createGateway({ before: app => app.register(async () => {}) })

const pluginOptions: GatewayPluginOptions = { upstream: 'http://127.0.0.1:5000', callbackPaths: '/callback', allowedHosts: 'mlflow.company.com' }
const app = Fastify()
await app.register(mlflowGateway, pluginOptions)
app.register(mlflowGateway)
app.mlflowSecurity.inspect({ headers: {} })

// @ts-expect-error a wrong type
createGateway({ upstream: 5000 })
// @ts-expect-error an unknown option
createGateway({ upstreams: [] })
// @ts-expect-error a setting of the plugin, wrong
createGateway({ xFrameOptions: 'ALLOWALL' })
// @ts-expect-error paths are texts
createGateway({ callbackPaths: [/callback/] })
// @ts-expect-error it takes the app
createGateway({ before: (app: string) => app })
// @ts-expect-error the app is there already: `before` is of createGateway alone
app.register(mlflowGateway, { before: () => {} })
// @ts-expect-error a wrong type
app.register(mlflowGateway, { upstream: 5000 })
// @ts-expect-error an unknown option
app.register(mlflowGateway, { upstreams: [] })
