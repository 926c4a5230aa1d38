import { invalidOption } from '../settings/errors.js'
import { describeOwn } from './table.js'

/**
 * @param value - segments of RFC 3986 §3.3 as they stand in a URL, escapes included: `/user/ada%40company.com/proxy`
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION
 */
export function resolvePrefix (value = ''): string {
  if (value === '' || isPrefix(value)) return value
  const plain = `/${value.replace(/^\/+|\/+$/g, '')}`
  throw invalidOption(describeOwn('staticPrefix'), value, 'is not a valid path', plain !== value && isPrefix(plain) ? plain : undefined)
}

function isPrefix (value: string): boolean {
  if (!/^(\/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+$/.test(value)) return false
  // What the router cannot read never gets to a route; a segment that other programs remove would lead to another path.
  const decoded = decode(value)
  return decoded !== undefined && !decoded.split('/').some(segment => segment === '.' || segment === '..')
}

/** @returns `undefined` where the escapes are no UTF-8 */
function decode (path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** @returns the path as MLflow names it: without the static prefix, if it begins with it */
export function withoutPrefix (path: string, prefix: string): string {
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path
}
