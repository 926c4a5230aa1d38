/** `GET http://host/path` is `GET /path` to the server that is named (RFC 9112 §3.2.2), which the Host check has ensured. */
export function originForm (url: string): string {
  const path = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
  return path === url || path.startsWith('/') ? path : `/${path}`
}

/** Hooks and routes have decided on the path as it came; the URL parser would make another one of it. */
export function isAmbiguous (url = ''): boolean {
  const path = originForm(url)
  return /^(?!\/)|^\/\/|\\|\/(\.|%2e){1,2}(\/|$)/i.test(path.replace(/\?.*/s, '')) || path.includes('#')
}
