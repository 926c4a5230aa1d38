import { createError } from '@fastify/error'
import { describeOwn } from './table.js'

// Errors that a request can cause capture no stack, so that a flood of them stays cheap.
const gatewayError = (code: string, message: string, statusCode: number) => createError(code, message, statusCode, Error, false)

export const UpstreamUnreachableError = gatewayError('FST_MLFLOW_SECURITY_UPSTREAM_UNREACHABLE',
  'The MLflow server behind this gateway cannot be reached, or its answer is broken. Is it running? The gateway\'s log says more.', 502)
export const UpstreamTimeoutError = gatewayError('FST_MLFLOW_SECURITY_UPSTREAM_TIMEOUT',
  'The MLflow server behind this gateway has not answered in time. The limit is upstreamTimeout (--upstream-timeout).', 504)
export const LoopError = gatewayError('FST_MLFLOW_SECURITY_LOOP',
  `The upstream of this gateway leads back to it. ${describeOwn('upstream').name} has to name the MLflow server itself.`, 508)
export const AmbiguousPathError = gatewayError('FST_MLFLOW_SECURITY_AMBIGUOUS_PATH',
  'This path is not passed on, because programs read it differently: it does not begin with a slash, or it has a backslash, a "#" or a segment "." or "..".', 400)
export const CodedTransferError = gatewayError('FST_MLFLOW_SECURITY_CODED_TRANSFER',
  'A Transfer-Encoding other than "chunked" cannot be passed on. To say how a body is compressed, use Content-Encoding.', 501)
export const DoubledHostError = gatewayError('FST_MLFLOW_SECURITY_DOUBLED_HOST', 'The request has two Host headers, and it is not clear which one counts.', 400)
export const HeadersTooLargeError = gatewayError('FST_MLFLOW_SECURITY_HEADERS_TOO_LARGE',
  'The headers of this request are too large. Often these are cookies. The limit is http.maxHeaderSize (--max-header-size).', 431)

export const StartingError = gatewayError('FST_MLFLOW_SECURITY_STARTING',
  'The MLflow server behind this gateway is starting. Try again in a few seconds.', 503)
export const DrainingError = gatewayError('FST_MLFLOW_SECURITY_DRAINING',
  'This gateway is about to end (SIGTERM, --drain-delay). Send new requests to another one.', 503)

export const GatewayNotLastError = createError<[string]>('FST_MLFLOW_SECURITY_GATEWAY_NOT_LAST', '%s', 500)
export const MissingDependencyError = createError<[string]>('FST_MLFLOW_SECURITY_MISSING_DEPENDENCY', '%s', 500)
