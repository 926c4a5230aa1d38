import type { Answer, Outcome } from './answer.js'
import type { Judgement, Verdict } from './judge.js'
import type { Meant } from './meant.js'
import type { Requests } from './requests.js'
import type { Target } from './target.js'
import type { Wire } from './wire.js'

/** What shows that a path is served at all. */
export interface Controls {
  readonly read: Outcome
  /** As an SDK asks it. */
  readonly write: Outcome
  readonly page: Outcome
}

export type ControlName = keyof Controls

/** What a case knows of the server when it asks. */
export interface Context {
  readonly target: Target
  readonly meant: Meant
  readonly requests: Requests
  readonly wire: Wire
  readonly controls: Controls
  /** The verdicts of the cases before, by id. */
  readonly verdicts: ReadonlyMap<string, Verdict>
  /** The refusals that came for attacks whose requests are well-formed, by the id of the case. */
  readonly refusals: Map<string, Answer>
}

export type Group = 'people' | 'host' | 'origin' | 'frames'

/** One promise of a protected server, and how to find out whether it holds. */
export interface Case {
  readonly id: string
  readonly group: Group
  /** What should hold: "A foreign Host is refused". */
  readonly promise: string
  /** What holds in its place where there is a gap: "A foreign Host is served". */
  readonly failure: string
  /** What happens to people where it does not hold. */
  readonly why: string
  /** What closes the gap. */
  fix (context: Pick<Context, 'target' | 'meant'>): string
  /** The control without which nothing can be said. */
  readonly needs: ControlName
  /** Without a verdict on it the audit has no result. */
  readonly isRequired?: true
  /** @param control - the answer to the control, which is served */
  ask (context: Context, control: Answer): Promise<Judgement>
  /** What a control that is not served says; left out, nothing. */
  without? (control: Outcome): Judgement | undefined
}

export const notApplicable = (evidence: string): Judgement => ({ verdict: 'not applicable', evidence })
