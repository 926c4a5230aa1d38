// A login in front of an MLflow server:
//   MLFLOW_TRACKING_URI=http://127.0.0.1:5000 GATEWAY_USER=ada GATEWAY_PASSWORD=… node examples/gateway/basic-auth.js
import { createHash, timingSafeEqual } from 'node:crypto'
import basicAuth from '@fastify/basic-auth'
import { createGateway } from 'fastify-mlflow-security/gateway'

const { GATEWAY_USER, GATEWAY_PASSWORD, PORT = '8080' } = process.env
if (!GATEWAY_USER || !GATEWAY_PASSWORD) throw new Error('GATEWAY_USER and GATEWAY_PASSWORD are missing')

const gateway = createGateway({ fastify: { logger: true } })

await gateway.register(basicAuth, {
  authenticate: { realm: 'MLflow' },
  async validate (user, password) {
    const isUser = equal(user, GATEWAY_USER)
    if (!equal(password, GATEWAY_PASSWORD) || !isUser) throw new Error('Wrong user or password')
  }
})

gateway.addHook('onRequest', function askForLogin (request, reply, done) {
  // Probes have no password.
  if (gateway.mlflowSecurity.settings.healthRoutes.includes(request.routeOptions.url)) return done()
  gateway.basicAuth(request, reply, error => {
    // The password is the gateway's, and no business of MLflow's.
    delete request.headers.authorization
    done(error)
  })
})

await gateway.listen({ port: Number(PORT) })

/** Takes as long for a wrong value as for the right one. */
function equal (given, expected) {
  const [a, b] = [given, expected].map(text => createHash('sha256').update(text).digest())
  return timingSafeEqual(a, b)
}
