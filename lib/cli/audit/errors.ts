import { createError } from '@fastify/error'

/** No server answers at the URL. */
export const UnreachableError = createError<[string]>('FST_MLFLOW_SECURITY_UNREACHABLE', '%s', 500)
