/**
 * Finds the name that somebody has mistyped: a letter is missing, is too many or is another one. Longer names may have two such
 * slips.
 *
 * @returns `undefined` if none is close
 */
export function closest (written: string, names: readonly string[]): string | undefined {
  if (written.length < 3) return undefined
  return names.find(name => isWithin(written, name, 1)) ?? names.find(name => name.length >= 8 && isWithin(written, name, 2))
}

/** @returns whether so many slips, at most, make one word of the other (Levenshtein's distance) */
function isWithin (one: string, other: string, slips: number): boolean {
  if (slips < 0) return false
  if (one === '' || other === '') return one.length + other.length <= slips
  const [a, b] = [one.slice(1), other.slice(1)]
  if (one.startsWith(other.charAt(0))) return isWithin(a, b, slips)
  return isWithin(a, other, slips - 1) || isWithin(one, b, slips - 1) || isWithin(a, b, slips - 1)
}
