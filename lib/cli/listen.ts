import type { FastifyInstance } from 'fastify'
import { oneAddress } from './listen-address.js'
import type { ListenAddress } from './listen-address.js'
import { explainListen } from './listen-failures.js'
import type { ListenFlags } from './listen-failures.js'

/**
 * @param listenTextResolver - makes the log line of the address
 * @throws FST_MLFLOW_SECURITY_CANNOT_LISTEN
 */
export async function listenAt (
  app: FastifyInstance, { host, port }: ListenAddress, flags: ListenFlags, listenTextResolver: (address: string) => string
): Promise<void> {
  try {
    await app.listen({ host: oneAddress(host), port, listenTextResolver })
  } catch (error) {
    throw explainListen(error, { host, port }, flags)
  }
}
