import { createHash } from 'node:crypto'
import t from 'tap'
import { listening } from '../fixtures/programs.js'
import { upstream } from '../fixtures/upstream.js'

/** Every byte value there is. */
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
/** More than any limit that a framework has by default. */
const LARGE = Buffer.alloc(3_000_000, BYTES)

/**
 * The types that MLflow's client gives its files (`mlflow.utils.mime_type_utils`): text/plain for .csv, .json, .yaml, .py, .md,
 * .log, .txt, MLmodel and others, else what Python's mimetypes know, else application/octet-stream; application/json for its API.
 */
const TYPES = [
  'text/plain', 'application/octet-stream', 'application/json', 'text/html', 'text/css', 'text/javascript', 'application/javascript',
  'image/png', 'image/jpeg', 'image/svg+xml', 'application/pdf', 'application/zip', 'application/x-tar', 'application/x-hdf5', 'video/mp4',
  'audio/x-wav', 'application/x-protobuf', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded', 'text/plain; charset=latin1'
]

t.test('a file of any type and size arrives as it was sent, and comes back so', async t => {
  const files = new Map<string, { type: string | undefined, body: Buffer }>()
  const target = await upstream(t, async (request, response) => {
    const { url = '', method } = request
    if (method === 'GET') return response.writeHead(200, { 'content-type': files.get(url)?.type ?? '' }).end(files.get(url)?.body)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    files.set(url, { type: request.headers['content-type'], body: Buffer.concat(chunks) })
    response.end()
  })
  const { port } = await listening(t, ['--upstream', target])
  for (const type of TYPES) {
    for (const body of [BYTES, LARGE]) {
      const path = `/api/2.0/mlflow-artifacts/artifacts/${encodeURIComponent(type)}/${body.length}`
      const url = `http://127.0.0.1:${port}${path}`
      const sent = await fetch(url, { method: 'PUT', body, headers: { 'content-type': type }, signal: AbortSignal.timeout(10_000) })
      t.equal(sent.status, 200, `${type}, ${body.length} bytes: ${await sent.text()}`)
      const file = files.get(path)
      t.equal(file?.type, type)
      t.equal(digest(file?.body), digest(body), 'arrived')
      t.equal(digest(new Uint8Array(await (await fetch(url)).arrayBuffer())), digest(body), 'came back')
    }
  }
})

function digest (body: Uint8Array = BYTES.subarray(0, 0)): string {
  return createHash('sha256').update(body).digest('hex')
}
