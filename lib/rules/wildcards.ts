import { wildcardParent } from '../grammar/host-pattern.js'
import type { HostPattern } from '../grammar/host-pattern.js'
import { nameOf } from '../settings/table.js'
import type { OptionName } from '../settings/table.js'

/** An entry whose wildcard matches names that anyone may be able to register. */
export interface Wildcard {
  readonly option: OptionName
  readonly entry: string
  /** The name right above the wildcard's label: `github.io` for `*.github.io`. Empty if there is none. */
  readonly parent: string
}

/** @returns the entry's wildcard; none if it has none, or if nobody can register such a name (RFC 6761 §6.3) */
export function wildcardsOf (option: OptionName, entry: string, pattern: HostPattern): Wildcard[] {
  const parent = wildcardParent(pattern)
  return parent === undefined || parent === 'localhost' ? [] : [{ option, entry, parent }]
}

/**
 * Finds wildcards right above a public suffix: `*.com`, `*.co.uk`, `*.github.io`. The list of suffixes is large, and is loaded
 * only if there is a wildcard to look up.
 *
 * @returns a warning for each
 */
export async function warnOfOpenWildcards (wildcards: readonly Wildcard[]): Promise<string[]> {
  if (wildcards.length === 0) return []
  const { parse } = await import('tldts')
  const isOpen = ({ parent }: Wildcard): boolean => {
    if (parent === '') return true
    const { publicSuffix, isIcann, isPrivate } = parse(`x.${parent}`, { allowPrivateDomains: true })
    return publicSuffix === parent && (isIcann === true || isPrivate === true)
  }
  return wildcards.filter(isOpen)
    .map(({ option, entry }) => `${nameOf(option)} has ${JSON.stringify(entry)}: anyone can register a name that it allows`)
}
