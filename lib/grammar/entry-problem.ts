/** Why an entry of an allow-list is none, and what was probably meant. */
export class EntryProblem extends Error {
  readonly fix: string | undefined

  constructor (reason: string, fix?: string) {
    super(reason)
    this.fix = fix
  }
}

/**
 * Parsers say what is wrong by an {@link EntryProblem}, and a fix that they propose is tried by the same parsers: this is the
 * one place where such a problem is an answer.
 *
 * @returns what `parse` returns, or `undefined` where it found a problem
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
