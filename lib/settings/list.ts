/**
 * @param given - texts with commas between their entries
 * @returns the entries, trimmed, without empty ones
 */
export function splitList (given: string | readonly string[]): string[] {
  return [given].flat().flatMap(text => String(text).split(',')).map(entry => entry.trim()).filter(entry => entry !== '')
}
