import { isatty } from 'node:tty'
import { trackConnections } from '../../gateway/drain.js'
import { listenAt } from '../listen.js'
import type { ListenAddress } from '../listen-address.js'
import { onHangUp, untilToldToEnd } from '../signals.js'
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
export async function runAuthorizer (options: AuthorizeOptions, listen: ListenAddress): Promise<number> {
  const end = untilToldToEnd(isatty(0))
  if (!isatty(0)) onHangUp(() => {}) // it has no files to read again, and engines still ask
  const app = createAuthorizer(options)
  const connections = trackConnections(app.server, false) // Caddy copies the client's Upgrade into its question
  await listenAt(app, listen, { host: '--host', port: '--port' }, address => `Answering ${options.dialect} at ${address}`)
  const ending = await end
  if ('error' in ending) app.log.fatal(ending.error)
  await connections.drain(SHUTDOWN)
  await app.close()
  return 'error' in ending ? 1 : 0
}
