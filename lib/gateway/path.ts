import { originForm } from '../grammar/request-target.js'

/** Segments that programs remove, and characters that some read as a separator or an end (RFC 3986 §5.2.4, WHATWG URL). */
const AMBIGUOUS = /^(?!\/)|\\|\/(\.|%2e){1,2}(\/|$)/i

/** Hooks and routes have decided on the raw path. Other programs would read another path. */
export function isAmbiguous (url = ''): boolean {
  const path = originForm(url)
  if (path.includes('#')) return true
  const end = path.indexOf('?')
  return AMBIGUOUS.test(end === -1 ? path : path.slice(0, end))
}

/** @returns whether a path has no escapes, so that it reads the same to everyone */
export function isPlain (url: string): boolean {
  const percent = url.indexOf('%')
  if (percent === -1) return true
  const end = url.indexOf('?')
  return end !== -1 && end < percent
}
