/** What came back for a request. */
export type Outcome = Answer | Silence

export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  /** By lower-case name. The values of a repeated header are joined by a comma. */
  readonly headers: ReadonlyMap<string, string>
  /** At most {@link MAX_BYTES} of it. */
  readonly body: string
}

export interface Silence {
  /** `closed`: the server ended the connection without an answer. */
  readonly kind: 'closed' | 'timeout' | 'unreachable' | 'garbled'
  readonly reason: string
}

/** Longer answers do not matter here. */
export const MAX_BYTES = 256 * 1024

const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: |$)/
const HEAD_END = '\r\n\r\n'
/** Digits alone: a chunk of negative size would be read again and again. */
const CHUNK_SIZE = /^[0-9a-f]+/i

/**
 * Parses an HTTP/1 answer (RFC 9112) from the bytes so far.
 *
 * @param ended - nothing more will come
 * @returns `undefined` while the answer is incomplete, and if the bytes are not an answer
 */
export function readAnswer (bytes: Buffer, ended: boolean): Answer | undefined {
  let rest = bytes
  for (;;) {
    const end = rest.indexOf(HEAD_END)
    if (end === -1) return undefined
    const [first = '', ...lines] = rest.toString('latin1', 0, end).split('\r\n')
    const status = Number(STATUS_LINE.exec(first)?.[1] ?? 0)
    if (status === 0) return undefined
    rest = rest.subarray(end + HEAD_END.length)
    if (status < 200 && status !== 101) continue // an interim answer
    const headers = joinHeaders(lines.map(splitLine))
    const body = readBody(status, headers, rest, ended)
    return body === undefined ? undefined : { kind: 'answer', status, headers, body }
  }
}

function splitLine (line: string): [name: string, value: string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).trim()]
}

export function joinHeaders (pairs: Iterable<readonly [name: string, value: string]>): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const [written, value] of pairs) {
    const name = written.toLowerCase()
    const known = headers.get(name)
    headers.set(name, known === undefined ? value : `${known}, ${value}`)
  }
  return headers
}

function readBody (status: number, headers: ReadonlyMap<string, string>, rest: Buffer, ended: boolean): string | undefined {
  if (status === 101 || status === 204 || status === 304) return ''
  if (/\bchunked\b/i.test(headers.get('transfer-encoding') ?? '')) return readChunks(rest, ended)
  const length = headers.get('content-length')
  const isComplete = length !== undefined && rest.length >= Number(length)
  return isComplete || ended ? rest.toString('utf8', 0, length === undefined ? undefined : Number(length)) : undefined
}

function readChunks (bytes: Buffer, ended: boolean): string | undefined {
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = lineEnd === -1 ? NaN : Number.parseInt(CHUNK_SIZE.exec(bytes.toString('latin1', at, lineEnd))?.[0] ?? '', 16)
    if (size === 0) return Buffer.concat(chunks).toString()
    const next = lineEnd + 2 + size
    if (Number.isNaN(size) || next > bytes.length) return ended ? Buffer.concat(chunks).toString() : undefined
    chunks.push(bytes.subarray(lineEnd + 2, next))
    at = next + 2
  }
}
