// "What if": a server with the settings to try, which lives for one request. The request goes to it over a socket, byte for byte.
import { connect } from 'node:net'
import Fastify from 'fastify'
import websocket from '@fastify/websocket'
import mlflowSecurity from 'fastify-mlflow-security'

const TARGET = '/api/2.0/mlflow/runs/create'
const WARN = 40
const PATIENCE = 5000

/**
 * @param {import('fastify-mlflow-security').MlflowSecurityOptions} settings
 * @returns what a server with these settings warns of at its start
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION
 */
export async function checkSettings (settings) {
  const { server, log } = await buildLab(settings)
  await server.close()
  return { warnings: warningsIn(log) }
}

/**
 * Sends one request to a server with these settings.
 *
 * @returns the bytes that were sent and answered, the verdict, and the server's log
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION
 */
export async function tryRequest (settings, request) {
  const { server, log, verdicts } = await buildLab(settings)
  try {
    await server.listen({ host: '127.0.0.1', port: 0 })
    const sent = toBytes(request)
    const answer = await send(server.server.address().port, sent)
    return { sent, answer, verdict: verdicts[0], warnings: warningsIn(log), log }
  } finally {
    await server.close()
  }
}

async function buildLab (settings) {
  const log = []
  const verdicts = []
  const stream = { write: entry => log.push(JSON.parse(entry)) }
  const server = Fastify({ logger: { level: 'warn', stream }, forceCloseConnections: true })
  // An app of your own registers the plugin first. This hook has to see what the plugin refuses.
  server.addHook('onRequest', async ({ raw }) => { verdicts.push(server.mlflowSecurity.inspect(raw)) })
  try {
    await server.register(mlflowSecurity, settings)
    await server.register(websocket)
    server.route({ method: 'GET', url: '/*', handler: passed, wsHandler: socket => socket.close() })
    server.route({ method: ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'], url: '/*', handler: passed })
    await server.ready()
  } catch (error) {
    await server.close().catch(() => {}) // it says again what was wrong with the start
    throw error
  }
  return { server, log, verdicts }
}

async function passed () {
  return { answer: 'This is the app: the request has passed.' }
}

const warningsIn = log => log.filter(({ level, code }) => level === WARN && code === undefined).map(({ msg }) => msg)

/** A field that is left out is a header that is not sent. */
function toBytes ({ method, host, origin, site, cookie, preflight, upgrade }) {
  const headers = [
    ['Host', host],
    ['Origin', origin],
    ['Sec-Fetch-Site', site],
    ['Cookie', cookie ? 'session=somebody' : undefined],
    ['Access-Control-Request-Method', preflight ? 'POST' : undefined],
    ['Connection', upgrade ? 'Upgrade' : 'close'],
    ...(upgrade ? [['Upgrade', 'websocket'], ['Sec-WebSocket-Version', '13'], ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==']] : []),
    ['Content-Length', ['POST', 'PUT', 'PATCH'].includes(method) ? '0' : undefined]
  ]
  const lines = headers.filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${TARGET} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** @returns the answer as it came, up to the end of the connection */
function send (port, bytes) {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.setEncoding('utf8').setTimeout(PATIENCE, () => socket.destroy(new Error('The server does not answer.')))
    socket.on('data', chunk => {
      answer += chunk
      // Behind this head comes the WebSocket.
      if (/^HTTP\/1\.1 101 [^]*\r\n\r\n/.test(answer)) socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(answer.replace(/^(HTTP\/1\.1 101 [^]*?\r\n\r\n)[^]*$/, '$1')))
  })
}
