/**
 * @param vary - the header as it stands, if it does
 * @returns the header with Origin in it (RFC 9110 §12.5.5), so that no cache answers one site with another's answer
 */
export function varyByOrigin (vary: number | string | readonly string[] | undefined): string {
  const names = vary === undefined ? '' : [vary].flat().join(', ')
  if (names === '') return 'Origin'
  return /(^|,)\s*(origin|\*)\s*(,|$)/i.test(names) ? names : `${names}, Origin`
}
