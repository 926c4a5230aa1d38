import { createError } from '@fastify/error'

/** There is nothing that could be audited. */
export const UnreachableError = createError<[string]>('FST_MLFLOW_SECURITY_UNREACHABLE', '%s', 500)
