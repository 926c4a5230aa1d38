import { loadOptional } from '../../gateway/optional.js'
import type { ListenAddress } from '../options.js'
import { createAuthorizer } from './app.js'
import type { AuthorizeOptions } from './app.js'

/** Questions are answered at once; what is still open after this many milliseconds is a connection that nobody uses. */
const GRACE = 5_000

/**
 * Starts the server that engines ask, which ends with the process.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_MISSING_DEPENDENCY
 */
export async function serveAuthorizer (options: AuthorizeOptions, listen: ListenAddress): Promise<void> {
  const { default: closeWithGrace } = await loadOptional('close-with-grace', () => import('close-with-grace'))
  const app = createAuthorizer(options)
  closeWithGrace({ delay: GRACE, logger: app.log }, async ({ err }) => {
    if (err !== undefined) app.log.fatal(err)
    await app.close()
  })
  await app.listen({ ...listen, listenTextResolver: address => `Answering ${options.dialect} at ${address}` })
}
