/** Enough for every host and origin a server really has; few enough that a flood of made-up ones costs nothing. */
const LIMIT = 1000

/**
 * Remembers the results worth keeping, at most a thousand: past that it starts afresh, which costs a parse and
 * needs no bookkeeping on the way.
 *
 * @param compute - a pure function
 * @param worthKeeping - false for results of hostile input, so that a flood of it cannot push out the good ones
 */
export function memoize<Result> (
  compute: (text: string) => Result,
  worthKeeping: (result: Result) => boolean
): (text: string) => Result {
  const known = new Map<string, Result>()
  return text => {
    const kept = known.get(text)
    if (kept !== undefined) return kept
    const result = compute(text)
    if (worthKeeping(result)) {
      if (known.size >= LIMIT) known.clear()
      known.set(text, result)
    }
    return result
  }
}
