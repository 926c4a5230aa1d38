import { settingsTable } from './table.js'

/** The lists whose default has a name: `@default`. */
export type NamedList = 'allowedHosts' | 'corsAllowedOrigins'

export const DEFAULT_LISTS: Readonly<Record<NamedList, readonly string[]>> = Object.freeze({
  allowedHosts: Object.freeze([...settingsTable.allowedHosts.default]),
  corsAllowedOrigins: Object.freeze([...settingsTable.corsAllowedOrigins.default])
})

/** @returns whether the default list is in force. Then advice to add an entry has to mention `@default`, which keeps the list. */
export function isDefaultList (list: NamedList, entries: readonly string[]): boolean {
  const defaults = DEFAULT_LISTS[list]
  return entries.length === defaults.length && defaults.every((entry, i) => entries[i] === entry)
}
