import { EntryProblem } from './entry-problem.js'

const WORD_FOR_EVERYTHING = /^(?:all|any|auto|true)$/i
// A list as JSON or a shell writes it, or a piece of one between commas: `["a.com"`, `'a.com'`, `[a.com]`. Never an IPv6 address.
const OTHER_LIST = /["']|^\[[^:\]]*\]?$|^[^[:]*\]$/

/** @returns whether the entry means "everything" in other tools. A host of that name must be written with a port */
export function isWordForEverything (entry: string): boolean {
  return WORD_FOR_EVERYTHING.test(entry)
}

/** @throws EntryProblem if the entry is another tool's word for everything */
export function refuseWordForEverything (entry: string): void {
  if (isWordForEverything(entry)) throw new EntryProblem('is a word that other tools use for everything', '*')
}

/** @throws EntryProblem if the entry has the quotes, brackets or separators of another kind of list */
export function refuseOtherList (entry: string): void {
  if (/[;|]/.test(entry)) {
    throw new EntryProblem('has ";" or "|"; separate entries with commas', withCommas(entry.replace(/[;|]/g, ' ')))
  }
  if (!OTHER_LIST.test(entry)) return
  throw new EntryProblem('has quotes or brackets; write only entries, separated by commas', withCommas(entry.replace(/["'[\]]/g, '')))
}

/** @returns the text with commas in place of its white space */
export function withCommas (text: string): string {
  return text.trim().split(/\s+/).join(',')
}
