// A login in front of an MLflow server, the gateway as a plugin of an app of one's own:
//   MLFLOW_TRACKING_URI=http://127.0.0.1:5000 GATEWAY_USER=ada GATEWAY_PASSWORD=… node examples/gateway/basic-auth.js
import { createHash, timingSafeEqual } from 'node:crypto'
import basicAuth from '@fastify/basic-auth'
import Fastify from 'fastify'
import mlflowSecurity from 'fastify-mlflow-security'
import mlflowGateway from 'fastify-mlflow-security/gateway'

const { GATEWAY_USER, GATEWAY_PASSWORD, PORT = '8080' } = process.env
if (!GATEWAY_USER || !GATEWAY_PASSWORD) throw new Error('GATEWAY_USER and GATEWAY_PASSWORD are missing')

const app = Fastify({ logger: true, return503OnClosing: false })

// First the checks of Host and Origin, then the login, and the gateway last.
await app.register(mlflowSecurity)
await app.register(basicAuth, {
  authenticate: { realm: 'MLflow' },
  async validate (user, password) {
    const isUser = equal(user, GATEWAY_USER)
    if (!equal(password, GATEWAY_PASSWORD) || !isUser) throw new Error('Wrong user or password')
  }
})

app.addHook('onRequest', function askForLogin (request, reply, done) {
  // Probes have no password. The router says which route it is, never the text of the URL.
  if (app.mlflowSecurity.settings.healthRoutes.includes(request.routeOptions.url)) return done()
  app.basicAuth(request, reply, error => {
    // The password is the gateway's, and no business of MLflow's.
    delete request.headers.authorization
    done(error)
  })
})

await app.register(mlflowGateway)
await app.listen({ port: Number(PORT) })

/** Takes as long for a wrong value as for the right one. */
function equal (given, expected) {
  const [a, b] = [given, expected].map(text => createHash('sha256').update(text).digest())
  return timingSafeEqual(a, b)
}
