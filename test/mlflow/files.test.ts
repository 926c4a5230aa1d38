// Real MLflow: what its client does directly and through the command comes to the same, byte for byte. MLFLOW_VENV names a Python
// environment with `mlflow` in it.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { runPython, startGateway, startMlflow } from '../fixtures/mlflow.js'
import type { Mlflow } from '../fixtures/mlflow.js'

/** What fails through the gateway is to be seen, not tried again. */
const ONCE = { MLFLOW_HTTP_REQUEST_MAX_RETRIES: '0' }
/** So that the models of the AI gateway may be on this machine. */
const LOCAL_MODELS = { MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES: 'http', MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS: 'true' }

let mlflow: Mlflow
let gateway: number
t.before(async () => {
  // With uvicorn's five seconds, a client that is not told to try again sometimes writes on a connection that is just ending.
  mlflow = await startMlflow(t, ['--workers', '1', '--uvicorn-opts', '--timeout-keep-alive 600'], { env: LOCAL_MODELS })
  gateway = await startGateway(t, mlflow.port)
})

t.test('what people do with the client: each step has the same outcome, failures included', async t => {
  // One after the other: at the same time, one of the two sometimes finds the other's lock on the database.
  const direct = await runPython('journal.py', [`http://127.0.0.1:${mlflow.port}`, 'own-direct'], ONCE)
  const through = await runPython('journal.py', [`http://127.0.0.1:${gateway}/`, 'own-gateway'], ONCE) // the slash is one more of what people write
  t.ok(Array.isArray(direct) && direct.length > 80, 'many steps')
  t.strictSame(through, direct)
})

t.test('files of every type that the client labels as text come back byte for byte', async t => {
  const found = await runPython('files.py', [`http://127.0.0.1:${gateway}`, join(mlflow.folder, 'artifacts')], ONCE)
  t.match(found, { files: Number })
  t.strictSame(found, {
    ...Object(found), damagedOnDisk: [], damagedDownload: [], damagedInUi: [], dictionary: true, table: true, overOneMebibyte: [true, true]
  })
})

/** A model that begins its answer at once, and says its first word when it is told to. */
async function startModel (t: Test): Promise<{ url: string, speak: () => void }> {
  let speak = (): void => {}
  const told = new Promise<void>(resolve => { speak = resolve })
  const server = createServer(async (request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    await told
    const chunk = { id: '1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta: { content: 'word' }, finish_reason: null }] }
    response.end(`data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`)
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, speak }
}

t.test('the stream of a chat: its head is there before the model has said a word', async t => {
  const model = await startModel(t)
  t.equal(await runPython('endpoint.py', [`http://127.0.0.1:${gateway}`, model.url], ONCE), 'chat')
  const response = await fetch(`http://127.0.0.1:${gateway}/gateway/chat/mlflow/invocations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'say something' }], stream: true })
  })
  t.match(response.headers.get('content-type'), /^text\/event-stream/)
  model.speak()
  t.match(await response.text(), /"content":"word"/)
})
