import { isatty } from 'node:tty'
import { trackConnections } from '../../gateway/drain.js'
import { explainListen } from '../listen-failures.js'
import type { ListenAddress } from '../options.js'
import { untilToldToEnd } from '../signals.js'
import { createAuthorizer } from './app.js'
import type { AuthorizeOptions } from './app.js'

/** In milliseconds. Questions are answered at once, so after this time only idle connections are left. */
const SHUTDOWN = 5_000

/**
 * Runs the server that engines ask, until a signal ends it. No question fails at the end.
 *
 * @returns the exit code
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_CANNOT_LISTEN
 */
export async function runAuthorizer (options: AuthorizeOptions, { host, port }: ListenAddress): Promise<number> {
  const end = untilToldToEnd(isatty(0))
  const app = createAuthorizer(options)
  const connections = trackConnections(app.server, false) // Caddy copies the client's Upgrade into its question
  try {
    // For localhost Fastify would start a second server, which this code does not follow.
    const address = host === 'localhost' ? '127.0.0.1' : host
    await app.listen({ host: address, port, listenTextResolver: address => `Answering ${options.dialect} at ${address}` })
  } catch (error) {
    throw explainListen(error, { host, port }, { host: '--host', port: '--port' })
  }
  const ending = await end
  if ('error' in ending) app.log.fatal(ending.error)
  await connections.drain(SHUTDOWN)
  await app.close()
  return 'error' in ending ? 1 : 0
}
