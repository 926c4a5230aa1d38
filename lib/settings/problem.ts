import { EntryProblem } from '../grammar/entry-problem.js'
import type { OptionName } from './table.js'

/** What is wrong with an entry, and of which setting. `codedErrors` in `lib/settings/errors.ts` turns it into a coded error. */
export class SettingProblem extends EntryProblem {
  readonly option: OptionName
  readonly entry: string

  constructor (option: OptionName, entry: string, { message, fix }: EntryProblem) {
    super(message, fix)
    this.option = option
    this.entry = entry
  }
}

/**
 * @param parse - parses the entry
 * @returns what `parse` returns
 * @throws SettingProblem if the entry is wrong
 */
export function parseEntryOf<Result> (option: OptionName, entry: string, parse: (entry: string) => Result): Result {
  try {
    return parse(entry)
  } catch (error) {
    throw error instanceof EntryProblem ? new SettingProblem(option, entry, error) : error
  }
}
