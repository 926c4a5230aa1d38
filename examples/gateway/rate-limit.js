// At most 100 requests a minute from each address:
//   MLFLOW_TRACKING_URI=http://127.0.0.1:5000 node examples/gateway/rate-limit.js
import rateLimit from '@fastify/rate-limit'
import { createGateway } from 'fastify-mlflow-security/gateway'

const { MAX = '100', PORT = '8080' } = process.env

const gateway = createGateway({
  fastify: { logger: true },
  // Refused requests are not counted: the checks come first.
  before: app => app.register(rateLimit, { max: Number(MAX), timeWindow: '1 minute' })
})
await gateway.listen({ port: Number(PORT) })
