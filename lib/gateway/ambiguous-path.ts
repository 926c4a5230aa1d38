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

/**
 * @param staticPrefix - compared exactly as written; only this part may have escapes
 * @returns a function that says whether a target has no escapes after the prefix, so that all programs read it the same way
 */
export function createIsPlain (staticPrefix: string): (target: string) => boolean {
  const start = `${staticPrefix}/`
  const otherwise = `${decodeURIComponent(staticPrefix)}/` // the router treats it as the same
  return target => {
    const path = originForm(target)
    if (path.startsWith(start)) return !hasEscapes(path, start.length)
    return !path.startsWith(otherwise) && !hasEscapes(path, 0)
  }
}

function hasEscapes (path: string, from: number): boolean {
  const percent = path.indexOf('%', from)
  if (percent === -1) return false
  const end = path.indexOf('?')
  return end === -1 || percent < end
}
