/**
 * Finds the name that somebody has mistyped: a letter is missing, is too many or is another one. Longer names may have two such
 * slips.
 *
 * @returns `undefined` if none is close
 */
export function closest (written: string, names: readonly string[]): string | undefined {
  const [best] = names
    .map(name => ({ name, slips: distance(written, name) }))
    .filter(({ name, slips }) => slips <= (name.length < 8 ? 1 : 2) && written.length > 2)
    .sort((a, b) => a.slips - b.slips)
  return best?.name
}

/** The edit distance (Levenshtein's). */
function distance (one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, i) => i)
  for (const letter of one) {
    const next = [(row[0] ?? 0) + 1]
    for (const [i, its] of [...other].entries()) {
      next.push(Math.min((next[i] ?? 0) + 1, (row[i + 1] ?? 0) + 1, (row[i] ?? 0) + (its === letter ? 0 : 1)))
    }
    row = next
  }
  return row[other.length] ?? 0
}
