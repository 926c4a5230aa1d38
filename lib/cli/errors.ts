import { createError } from '@fastify/error'

/** A wrong command line. People see only the message. */
export const UsageError = createError<[string]>('FST_MLFLOW_SECURITY_USAGE', '%s', 500)

/** Listening on an address failed. It may work later, so systemd and others try again. */
export const ListenError = createError<[string]>('FST_MLFLOW_SECURITY_CANNOT_LISTEN', '%s', 500)
