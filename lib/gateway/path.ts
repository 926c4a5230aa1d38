import { originForm } from '../grammar/request-target.js'

/** Hooks and routes have decided on the path as it came; the URL parser would make another one of it. */
export function isAmbiguous (url = ''): boolean {
  const path = originForm(url)
  return /^(?!\/)|^\/\/|\\|\/(\.|%2e){1,2}(\/|$)/i.test(path.replace(/\?.*/s, '')) || path.includes('#')
}
