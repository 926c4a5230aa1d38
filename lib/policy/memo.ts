/** Enough for every host and origin a server really has; few enough that a flood of made-up ones costs nothing. */
const LIMIT = 1000
/** Hostile input comes from few places over and over, or is made up and never comes again. */
const HOSTILE_LIMIT = 100
/** Characters: a header may have sixteen thousand, a good Origin 327 (a scheme of 64, `://`, an authority of 260). */
const LONGEST = 330

/**
 * Remembers results, at most 1,000 good and 100 hostile ones: past that it starts afresh, which costs a parse and needs
 * no bookkeeping on the way. The two are kept apart, so that a flood cannot push out the good ones.
 *
 * @param compute - a pure function
 * @param isGood - false for results of hostile input; nothing is kept of a text longer than 330 characters
 */
export function memoize<Result> (compute: (text: string) => Result, isGood: (result: Result) => boolean): (text: string) => Result {
  const good = new Map<string, Result>()
  const hostile = new Map<string, Result>()
  return text => {
    const kept = good.get(text) ?? hostile.get(text)
    if (kept !== undefined) return kept
    if (text.length > LONGEST) return compute(text)
    const own = copy(text)
    const result = compute(own)
    if (isGood(result)) keep(good, LIMIT, own, result)
    else keep(hostile, HOSTILE_LIMIT, own, result)
    return result
  }
}

/**
 * To V8, a piece of a header is a slice of it, and keeps all of it in memory. A piece of a text that was joined makes V8 write
 * that text out first, so that the piece keeps no more than itself and one character.
 */
function copy (text: string): string {
  return ` ${text}`.slice(1)
}

function keep<Result> (known: Map<string, Result>, limit: number, text: string, result: Result): void {
  if (known.size >= limit) known.clear()
  known.set(text, result)
}
