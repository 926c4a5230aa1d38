// Ratios that hold on a noisy machine: the variants take turns within each round, and each round gives one ratio.

/**
 * @param {Record<string, () => number | Promise<number>>} variants what each measures, in any unit
 * @param {number} rounds after one that is thrown away
 * @returns {Promise<Record<string, number[]>>} a value for each round
 */
export async function takeTurns (variants, rounds) {
  const values = Object.fromEntries(Object.keys(variants).map(name => [name, []]))
  for (let round = -1; round < rounds; round++) {
    for (const [name, measure] of Object.entries(variants)) {
      const value = await measure()
      if (round >= 0) values[name].push(value)
    }
  }
  return values
}

/** @returns median and quartiles */
export function spread (values) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = share => sorted[Math.round(share * (sorted.length - 1))]
  return { median: at(0.5), low: at(0.25), high: at(0.75) }
}

/** The ratio of two variants, round by round. */
export function ratio (values, one, other) {
  return spread(values[one].map((value, i) => value / values[other][i]))
}

/** What one variant adds to a base, as a multiple of what the other adds, round by round. */
export function added (values, one, other, base) {
  return spread(values[one].map((value, i) => (value - values[base][i]) / (values[other][i] - values[base][i])))
}

export function show ({ median, low, high }, digits = 2) {
  return `${median.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`
}

export function table (columns, rows) {
  return [columns, columns.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/**
 * A figure that has a target.
 *
 * @param reachable what the guard goes by where the target itself is known to be out of reach
 */
export function target (name, value, limit, { atLeast = false, reachable = limit } = {}) {
  return { name, value, limit, atLeast, reachable }
}

export function meets ({ value, limit, atLeast }) {
  return atLeast ? value >= limit : value <= limit
}

/** Whether it is off by more than a noisy machine explains. */
export function isFarOff ({ value, reachable, atLeast }, slack) {
  return atLeast ? value < reachable / slack : value > reachable * slack
}
