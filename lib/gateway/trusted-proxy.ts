import type { FastifyRequest } from 'fastify'

const known = new WeakMap<object, boolean>()

/**
 * @returns whether the peer is a proxy that `trustProxy` names. Only the length of `request.ips` shows this, and only if there is
 *   an X-Forwarded-For. So one is set for a moment. The answer is remembered for the connection.
 */
export function isFromTrustedProxy (request: FastifyRequest): boolean {
  if (request.ips === undefined) return false
  const { headers, socket } = request.raw
  const answer = known.get(socket)
  if (answer !== undefined) return answer
  const given = headers['x-forwarded-for']
  headers['x-forwarded-for'] = '192.0.2.1'
  const isTrusted = request.ips.length > 1
  if (given === undefined) delete headers['x-forwarded-for']
  else headers['x-forwarded-for'] = given
  known.set(socket, isTrusted)
  return isTrusted
}
