import type { OptionName } from './table.js'

/**
 * Finds the name that was meant: `allowed-host`, `ALLOWED_HOSTS` and `allowedhosts` are `allowedHosts`, and so is `alowedHosts`.
 *
 * @param written - what somebody wrote
 * @param names - the names that there are
 * @returns `undefined` if none is similar
 */
export function findMeant<Name extends string> (written: string, names: readonly Name[]): Name | undefined {
  return names.find(name => plain(name) === plain(written)) ?? closest(written, names)
}

/** @returns the name without case, punctuation and plural */
function plain (name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, '').replace(/s$/, '')
}

/** @returns the name that has one slip: a letter is missing, is too many or is another one. Longer names may have two */
function closest<Name extends string> (written: string, names: readonly Name[]): Name | undefined {
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

/**
 * Finds the value that was meant, as other tools write it: `yes`, `same-origin`, `ALLOW-FROM https://a`.
 *
 * @param option - an option that takes one of a few words
 */
export function meantValue (option: OptionName, value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const word = value.toLowerCase().replace(/[^a-z]/g, '')
  if (option === 'xFrameOptions') {
    if (word.startsWith('same')) return 'SAMEORIGIN'
    // No browser knows ALLOW-FROM any more (RFC 7034 §2.1): frame-ancestors took its place.
    if (word.startsWith('allowfrom')) return value.replace(/^\s*allow-from[:\s]*/i, 'frameAncestors: ')
    return /^(allow|off|false|no$|disable)/.test(word) ? 'NONE' : undefined
  }
  if (/^(yes|y|on|enabled?)$/.test(word)) return 'true'
  return /^(no|n|off|disabled?)$/.test(word) ? 'false' : undefined
}
