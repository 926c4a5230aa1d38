import t from 'tap'
import { arePlain } from '../../lib/settings/valid-by-type.js'

t.test('texts, lists of texts and switches need no schema; everything else does', async t => {
  const plain: Array<Record<string, unknown>> = [
    {}, { allowedHosts: 'a' }, { allowedHosts: ['a', 'b'], corsAllowedOrigins: [] }, { reportOnly: true, disableSecurityMiddleware: 'false' }, { cors: undefined }
  ]
  for (const data of plain) t.ok(arePlain(data), JSON.stringify(data))
  const others: Array<Record<string, unknown>> = [
    { allowedHosts: true }, { allowedHosts: 5 }, { allowedHosts: null }, { allowedHosts: {} }, { allowedHosts: ['a', 5] }, { allowedHosts: [['a']] },
    { xFrameOptions: ['DENY'] }, { xFrameOptions: true }, { reportOnly: 1 }, { reportOnly: ['true'] }, { cors: {} }, { cors: [] }, { cors: 'x' }
  ]
  for (const data of others) t.notOk(arePlain(data), JSON.stringify(data))
})
