/** Enough for every host and origin a server really has; few enough that a flood of made-up ones costs nothing. */
const LIMIT = 1000
/** Hostile input comes from few places over and over, or is made up and never comes again. */
const HOSTILE_LIMIT = 100
/** Characters: a header may have sixteen thousand. */
const LONGEST_HOSTILE = 255

/**
 * Remembers results, at most 1,000 good and 100 hostile ones: past that it starts afresh, which costs a parse and needs
 * no bookkeeping on the way. The two are kept apart, so that a flood cannot push out the good ones.
 *
 * @param compute - a pure function
 * @param isGood - false for results of hostile input; of a text longer than 255 characters such a one is not kept
 */
export function memoize<Result> (compute: (text: string) => Result, isGood: (result: Result) => boolean): (text: string) => Result {
  const good = new Map<string, Result>()
  const hostile = new Map<string, Result>()
  return text => {
    const kept = good.get(text) ?? hostile.get(text)
    if (kept !== undefined) return kept
    const result = compute(text)
    if (isGood(result)) keep(good, LIMIT, text, result)
    else if (text.length <= LONGEST_HOSTILE) keep(hostile, HOSTILE_LIMIT, text, result)
    return result
  }
}

function keep<Result> (known: Map<string, Result>, limit: number, text: string, result: Result): void {
  if (known.size >= limit) known.clear()
  known.set(text, result)
}
