/** Enough for all real hosts and origins of a server, and few enough that a flood of invented ones costs little. */
const LIMIT = 1000
/** Hostile input repeats from few places, or is invented and never comes again. */
const HOSTILE_LIMIT = 100
/** In characters. A header may have 16,000; a good Origin has at most 327 (a scheme of 64, `://`, an authority of 260). */
const LONGEST = 330

/**
 * Remembers results, at most 1,000 good and 100 hostile ones. When a store is full it is emptied: that costs a parse for each
 * value again, but needs no bookkeeping. Two stores, so that a flood cannot push out the good ones.
 *
 * @param compute - a pure function
 * @param isGood - false for results of hostile input. Results for texts of more than 330 characters are not kept
 */
export function memoize<Result> (compute: (text: string) => Result, isGood: (result: Result) => boolean): (text: string) => Result {
  const good = new Map<string, Result>()
  const hostile = new Map<string, Result>()
  // Most requests ask twice, and those of one connection ask the same. Comparing is cheaper than hashing.
  let lastText = ''
  let lastResult: Result | undefined
  return text => {
    if (lastResult !== undefined && lastText === text) return lastResult
    const kept = good.get(text) ?? hostile.get(text)
    if (kept !== undefined) {
      lastText = text
      lastResult = kept
      return kept
    }
    if (text.length > LONGEST) return compute(text)
    const own = copy(text)
    const result = compute(own)
    if (isGood(result)) keep(good, LIMIT, own, result)
    else keep(hostile, HOSTILE_LIMIT, own, result)
    return result
  }
}

/**
 * To V8, a piece of a header is a slice that keeps the whole header in memory. If the text is joined with a character first, V8
 * has to write it out, and the piece keeps only itself and that character in memory.
 */
function copy (text: string): string {
  return ` ${text}`.slice(1)
}

function keep<Result> (known: Map<string, Result>, limit: number, text: string, result: Result): void {
  if (known.size >= limit) known.clear()
  known.set(text, result)
}
