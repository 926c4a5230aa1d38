/** What is wrong with an entry of an allow-list, and what was probably meant. */
export class EntryProblem extends Error {
  readonly fix: string | undefined

  constructor (reason: string, fix?: string) {
    super(reason)
    this.fix = fix
  }
}

/**
 * Runs a parser, and turns an {@link EntryProblem} into `undefined`. So a proposed fix can be tried.
 *
 * @returns what `parse` returns, or `undefined` if it found a problem
 * @throws any other error of `parse`
 */
export function attempt<Result> (parse: () => Result): Result | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof EntryProblem) return undefined
    throw error
  }
}
