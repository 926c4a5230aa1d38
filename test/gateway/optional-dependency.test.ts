import t from 'tap'
import { loadOptional } from '../../lib/gateway/optional-dependency.js'

t.test('a package that is missing is named with the line that installs it; any other error stays as it is', async t => {
  await t.rejects(loadOptional('leftpad', async () => { throw Object.assign(new Error('missing'), { code: 'ERR_MODULE_NOT_FOUND' }) }), {
    code: 'FST_MLFLOW_SECURITY_MISSING_DEPENDENCY', message: 'The gateway needs leftpad, which is not installed. Run npm install leftpad, or npm install --include=optional for everything that the gateway needs'
  })
  for (const broken of [new Error('broken'), Object.assign(new Error('broken'), { code: 'EACCES' })]) {
    await t.rejects(loadOptional('broken', async () => { throw broken }), { message: /^broken$/ })
  }
})
