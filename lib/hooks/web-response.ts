/**
 * After all onSend hooks Fastify overwrites the reply's headers with those of a web `Response`. This takes some of them out
 * of the `Response` before that, so that they can be merged.
 *
 * @param payload - the payload of an onSend hook
 * @param take - called with the lower-case name and the value of each header in `names` that the `Response` has
 * @returns the payload without these headers
 */
export function takeOver (payload: Response, names: readonly string[], take: (name: string, value: string) => void): Response {
  if (payload.bodyUsed || !isFinal(payload) || !names.some(name => payload.headers.has(name))) return payload
  // The headers of a fetched Response are immutable, and the caller's objects are not ours to change. So a copy is made.
  const headers = new Headers(payload.headers)
  for (const name of names) {
    const value = headers.get(name)
    if (value === null) continue
    take(name, value)
    headers.delete(name)
  }
  return new Response(payload.body, { status: payload.status, statusText: payload.statusText, headers })
}

/** Checked by the tag, as Fastify does: the `Response` may be undici's own class. */
export function isResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && payload !== null && Object.prototype.toString.call(payload) === '[object Response]'
}

/** Only these statuses can be constructed. For others Fastify has an error. */
function isFinal ({ status }: Response): boolean {
  return status >= 200
}
