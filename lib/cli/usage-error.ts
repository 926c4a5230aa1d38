import { createError } from '@fastify/error'

/** A command line that cannot be carried out; the message is all that people see of it. */
export const UsageError = createError<[string]>('FST_MLFLOW_SECURITY_USAGE', '%s', 500)

/** An address that cannot be listened on: it may be right another time, and systemd and others try again. */
export const ListenError = createError<[string]>('FST_MLFLOW_SECURITY_CANNOT_LISTEN', '%s', 500)
