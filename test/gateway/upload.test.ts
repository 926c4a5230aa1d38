import { once } from 'node:events'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import t from 'tap'
import { Upload } from '../../lib/gateway/upload.js'

t.test('the body of a client that went before anybody asked for it fails', async t => {
  const source = new IncomingMessage(new Socket())
  source.destroy()
  await once(source, 'close')
  const upload = new Upload(source)
  const failed = once(upload, 'error')
  upload.resume()
  t.match(await failed, [{ name: 'Error' }])
  t.equal(upload.isBegun, false)
})
