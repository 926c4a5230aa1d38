import { createError } from '@fastify/error'

/** A command line that cannot be carried out; the message is all that people see of it. */
export const UsageError = createError<[string]>('FST_MLFLOW_SECURITY_USAGE', '%s', 500)
