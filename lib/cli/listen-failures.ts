import { codeOf } from '../gateway/explain-failure.js'
import { ListenError } from './errors.js'
import type { ListenAddress } from './listen-address.js'

/** The flags that an address comes from. */
export interface ListenFlags { readonly host: string, readonly port: string }

/**
 * Explains why listening on an address failed, and names the flags.
 *
 * @param error - what `listen` has thrown
 * @returns FST_MLFLOW_SECURITY_CANNOT_LISTEN, or the error itself if its cause is unknown
 */
export function explainListen (error: unknown, { host, port }: ListenAddress, flags: ListenFlags): unknown {
  const address = host.includes(':') ? `[${host}]` : host
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return new ListenError(`${flags.port}: ${address}:${port} is taken by another program. Choose another port, or end that program.`)
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
      return new ListenError(`${flags.host}: ${host} is not an address of this machine. 127.0.0.1 is for this machine only, 0.0.0.0 for every address of it.`)
    case 'EACCES':
      return new ListenError(`${flags.port}: this user may not listen on port ${port}. Choose one from 1024 up.`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ListenError(`${flags.host}: the name "${host}" does not resolve to an address. Give the address itself: 127.0.0.1, 0.0.0.0.`)
    default:
      return error
  }
}
