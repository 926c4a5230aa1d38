import diagnosticsChannel from 'node:diagnostics_channel'
import type { FastifyRequest } from 'fastify'
import { MAX_QUOTED } from '../grammar/quote.js'
import { hostValue } from '../grammar/host-of-request.js'
import type { Refusal, Refused } from '../../types/index.js'

/** The diagnostics channel for refusals. */
export const CHANNEL = 'fastify-mlflow-security.refused'

const refused = diagnosticsChannel.channel(CHANNEL)

/**
 * Reports a refusal to the log and the diagnostics channel. Neither can change the verdict: an error of the logger is
 * ignored, and Node keeps a subscriber's error away from the publisher.
 */
export function reportRefusal (request: FastifyRequest, { check, code, statusCode, message }: Refused, reportOnly: boolean): void {
  const { ip }: { readonly ip: string | undefined } = request // Fastify's types promise an address, but a client on a Unix socket has none
  const refusal: Refusal = {
    check,
    code,
    statusCode,
    host: hostValue(request.raw).slice(0, MAX_QUOTED),
    origin: request.headers.origin?.slice(0, MAX_QUOTED),
    method: request.method,
    url: request.url.slice(0, MAX_QUOTED),
    remoteAddress: ip?.slice(0, MAX_QUOTED),
    reportOnly
  }
  try {
    request.log.warn(refusal, reportOnly ? `Report only, the request goes on: ${message}` : message)
  } catch {
    // The logger failed. The request is still refused.
  }
  if (refused.hasSubscribers) refused.publish(refusal)
}
