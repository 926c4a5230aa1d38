import t from 'tap'
import { authorizeOptions } from '../../../lib/cli/authorize/options.js'

t.test('what flags become', async t => {
  t.match(authorizeOptions({ dialect: 'Envoy' }, {}), {
    options: { dialect: 'envoy', staticPrefix: '', healthRoutes: ['/health', '/version'], log: {} },
    listen: { host: '127.0.0.1', port: 8081 }
  })
  t.match(authorizeOptions({ dialect: 'nginx', host: '::', port: '9', 'log-level': 'info', 'static-prefix': '/m', 'health-routes': ['/a, /m/b/c.d', '/e'] }, {}), {
    options: { healthRoutes: ['/m/a', '/m/b/c.d', '/m/e'] }, listen: { host: '::', port: 9 }
  })
  for (const route of ['health', '/health/', '/', '/*', '/:id', '/a%2fb', '/a?b', '/../x', '/./x', '/@health']) {
    t.throws(() => authorizeOptions({ dialect: 'nginx', 'health-routes': [route] }, {}), { code: 'FST_MLFLOW_SECURITY_USAGE', message: /^--health-routes: / }, route)
  }
  t.throws(() => authorizeOptions({}, {}), { message: 'authorize needs --dialect ENGINE. Allowed: nginx, caddy, traefik, envoy. For HAProxy, use nginx.' })
  t.throws(() => authorizeOptions({ dialect: 'apache' }, {}), { message: /^--dialect: "apache" is not a dialect\. Allowed: nginx, / })
})
