/** A header value, as a reply stores it. */
export type HeaderValue = number | string | readonly string[] | undefined

/**
 * @param vary - the present value, if there is one
 * @returns the header with Origin in it (RFC 9110 §12.5.5), so that no cache gives one site's answer to another
 */
export function varyByOrigin (vary: HeaderValue): string {
  const names = Array.isArray(vary) ? vary.join(', ') : String(vary ?? '')
  if (names === '') return 'Origin'
  return /(^|,)\s*(origin|\*)\s*(,|$)/i.test(names) ? names : `${names}, Origin`
}

/** @returns the names of both, each once; "*" if one of them has it, because it includes every name */
export function joinVary (one: HeaderValue, other: HeaderValue): string {
  const names = [...namesOf(one), ...namesOf(other)]
  if (names.includes('*')) return '*'
  const seen = new Set<string>()
  return names.filter(name => {
    const isNew = !seen.has(name.toLowerCase())
    seen.add(name.toLowerCase())
    return isNew
  }).join(', ')
}

function namesOf (vary: HeaderValue): string[] {
  return vary === undefined ? [] : [vary].flat().join(',').split(',').map(name => name.trim()).filter(name => name !== '')
}
