import { createError } from '@fastify/error'

/** The question does not say which request it is about. No stack, so that a flood of such questions stays cheap. */
export const UnreadableQuestionError = createError<[string]>('FST_MLFLOW_SECURITY_UNREADABLE_QUESTION', '%s', 403, Error, false)
