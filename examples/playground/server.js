// Starts the playground: flags and environment in, one address out. `--help` names the flags.
import { parseArgs } from 'node:util'
import { buildPlayground } from './app.js'

const HELP = `A small Fastify app behind fastify-mlflow-security, to try its settings out.

npm start -- [flags]

  --port NUMBER                    default 3000, or PORT; 0 for any that is free
  --allowed-hosts LIST             MLFLOW_SERVER_ALLOWED_HOSTS
  --cors-allowed-origins LIST      MLFLOW_SERVER_CORS_ALLOWED_ORIGINS
  --x-frame-options VALUE          MLFLOW_SERVER_X_FRAME_OPTIONS
  --disable-security-middleware    MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE
  --report-only
  --frame-ancestors LIST
`

try {
  const { help, port, ...settings } = readFlags()
  if (help) console.log(HELP)
  else await start(settings, toPort(port))
} catch (error) {
  console.error(inOneLine(error))
  process.exitCode = 2
}

function readFlags () {
  const list = { type: 'string', multiple: true }
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean' },
      port: { type: 'string', default: process.env.PORT || '3000' },
      'allowed-hosts': list,
      'cors-allowed-origins': list,
      'x-frame-options': { type: 'string' },
      'disable-security-middleware': { type: 'boolean' },
      'report-only': { type: 'boolean' },
      'frame-ancestors': list
    }
  })
  return Object.fromEntries(Object.entries(values).map(([flag, value]) => [camelCase(flag), value]))
}

function camelCase (flag) {
  return flag.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase())
}

function toPort (text) {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65535) return Number(text)
  throw new RangeError(`--port (PORT): ${JSON.stringify(text)} is not a port. Allowed: 1 to 65535, or 0 for any that is free.`)
}

function inOneLine ({ code, port, message }) {
  if (code === 'EADDRINUSE') return `Port ${port} of 127.0.0.1 is taken. Choose another one with --port, or 0 for any that is free.`
  return message.replaceAll('\n', ' ')
}

async function start (settings, port) {
  const playground = await buildPlayground(settings)
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => playground.close())
  const address = await playground.listen({ host: '127.0.0.1', port })
  console.log(`Playground: ${address}`)
  console.log(`Try:        curl -H 'Host: evil.com' ${address}`)
  warnOfClosedDoor(playground, address)
}

function warnOfClosedDoor ({ mlflowSecurity }, address) {
  const verdict = mlflowSecurity.inspect({ method: 'GET', url: '/', headers: { host: new URL(address).host } })
  if (!verdict.allowed) console.log(`Note:       these settings refuse this very address. ${verdict.message}`)
}
