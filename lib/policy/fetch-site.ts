import type { RequestHead } from '../../types/index.js'

/** The value of Sec-Fetch-Site (Fetch Metadata Request Headers §2.3), as Node represents it. */
export type Site = string | string[] | undefined

export function siteOf (headers: RequestHead['headers']): Site {
  return headers['sec-fetch-site']
}

/** @returns whether the browser says that another page sent the request. Doubled and unknown values say so as well */
export function isForeign (site: Site): boolean {
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}
