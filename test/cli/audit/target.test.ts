import t from 'tap'
import { parseTarget } from '../../../lib/cli/audit/target.js'
import { startAudited } from '../../fixtures/audit-targets.js'
import { findings } from '../../fixtures/audit.js'

const NAME = 'mlflow.company.com'

t.test('--connect asks elsewhere for what the URL says', async t => {
  const { port, asked } = await startAudited(t, [], { host: NAME })
  t.equal((await findings(`http://${NAME}:${port}/`, '--connect', '127.0.0.1')).exitCode, 0, 'the port of the URL')
  t.equal(asked[0]?.headers.host, `${NAME}:${port}`)
  t.equal(parseTarget('http://[::1]:5000', '::1', []).connect.host, '::1')
})

t.test('MLflow below a path', async t => {
  const { url, asked } = await startAudited(t, [], {
    wrap: (_n, inner) => (request, response) => {
      request.url = request.url?.replace(/^\/team\/mlflow/, '')
      inner(request, response)
    }
  })
  t.equal((await findings(`${url}/team/mlflow/#/experiments/0`)).exitCode, 0)
  t.ok(asked.some(({ url }) => url?.startsWith('/health/../') === true))
})
