import { EntryProblem, attempt } from '../grammar/entry-problem.js'
import { wildcardParent } from '../grammar/host-pattern.js'
import type { HostPattern } from '../grammar/host-pattern.js'

/**
 * @param parse - parses an entry of the fix as one of the list
 * @returns the problem. It has no fix if the fix would itself be refused, or would allow more than anyone wanted
 */
export function withTrustedFix (problem: unknown, parse: (entry: string) => HostPattern): unknown {
  const isRight = (entry: string): boolean => {
    if (entry === '@default') return true
    const pattern = attempt(() => parse(entry))
    return pattern !== undefined && !isTooWide(pattern)
  }
  if (!(problem instanceof EntryProblem) || problem.fix === undefined || problem.fix.split(',').every(isRight)) return problem
  return new EntryProblem(problem.message)
}

/**
 * Whether anyone can register a name that the pattern allows: `*.com`, `*company.com`, `mlflow.*`. Names below
 * `localhost` are reserved (RFC 6761 §6.3).
 */
function isTooWide (pattern: HostPattern): boolean {
  const parent = wildcardParent(pattern)
  return parent !== undefined && !parent.includes('.') && parent !== 'localhost'
}
