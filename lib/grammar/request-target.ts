/** `scheme "://" authority`, as an absolute-form target (RFC 9112 §3.2.2) or a URL begins. */
const ABSOLUTE_FORM = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i

/** How a URL or an absolute-form target begins. */
export interface AbsoluteForm {
  /** In lower case. */
  readonly scheme: string
  /** As written, userinfo included. */
  readonly authority: string
}

/** @returns the beginning of a URL or absolute-form target, or `undefined` if the text is neither */
export function parseAbsoluteForm (text: string): AbsoluteForm | undefined {
  const [, scheme, authority] = ABSOLUTE_FORM.exec(text) ?? []
  return scheme === undefined || authority === undefined ? undefined : { scheme: scheme.toLowerCase(), authority }
}

/** `GET http://host/path` means `GET /path` on that host (RFC 9112 §3.2.2). The Host check has ensured that it is this server. */
export function originForm (target: string): string {
  if (target.startsWith('/')) return target
  const path = target.replace(ABSOLUTE_FORM, '')
  return path === target || path.startsWith('/') ? path : `/${path}`
}
