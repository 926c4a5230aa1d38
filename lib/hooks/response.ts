/**
 * Fastify writes the headers of a web `Response` over those of the reply when all onSend hooks have run. Takes some of them
 * over beforehand, so that they can be merged.
 *
 * @param payload - what an onSend hook gets
 * @param take - gets the names, in lower case, and values of the headers that the `Response` has of `names`
 * @returns the payload without these headers
 */
export function takeOver (payload: Response, names: readonly string[], take: (name: string, value: string) => void): Response {
  if (payload.bodyUsed || !isFinal(payload) || !names.some(name => payload.headers.has(name))) return payload
  // The headers of what fetch() has brought cannot be changed, and the caller's own are not ours to change.
  const headers = new Headers(payload.headers)
  for (const name of names) {
    const value = headers.get(name)
    if (value === null) continue
    take(name, value)
    headers.delete(name)
  }
  return new Response(payload.body, { status: payload.status, statusText: payload.statusText, headers })
}

/** By its tag, as Fastify tells it: a `Response` may be undici's own. */
export function isResponse (payload: unknown): payload is Response {
  return typeof payload === 'object' && payload !== null && Object.prototype.toString.call(payload) === '[object Response]'
}

/** No other can be made anew; Fastify has an error for them. */
function isFinal ({ status }: Response): boolean {
  return status >= 200
}
