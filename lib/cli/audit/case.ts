import type { Answer, Outcome } from './answer.js'
import type { Judgement, Verdict } from './judge.js'
import type { Meant } from './meant.js'
import type { Requests } from './requests.js'
import type { Target } from './target.js'
import type { Wire } from './wire.js'

/** Requests that show whether a path is served at all. */
export interface Controls {
  readonly read: Outcome
  /** Sent as an SDK sends it. */
  readonly write: Outcome
  readonly page: Outcome
}

export type ControlName = keyof Controls

/** What a case knows about the server. */
export interface Context {
  readonly target: Target
  readonly meant: Meant
  readonly requests: Requests
  readonly wire: Wire
  readonly controls: Controls
  /** The verdicts of earlier cases, by id. */
  readonly verdicts: ReadonlyMap<string, Verdict>
  /** The refusals of well-formed attacks, by the id of the case. */
  readonly refusals: Map<string, Answer>
}

export type Group = 'people' | 'host' | 'origin' | 'frames'

/** One promise of a protected server, and how to find out whether it holds. */
export interface Case {
  readonly id: string
  readonly group: Group
  /** What should hold: "A foreign Host is refused". */
  readonly promise: string
  /** What is true instead if there is a gap: "A foreign Host is served". */
  readonly failure: string
  /** What can happen to people if it does not hold. */
  readonly why: string
  /** What closes the gap. */
  fix (context: Pick<Context, 'target' | 'meant'>): string
  /** The control that this case needs. */
  readonly needs: ControlName
  /** If this case is inconclusive, the audit has no result. */
  readonly isRequired?: true
  /** @param control - the answer to the control, which is served */
  ask (context: Context, control: Answer): Promise<Judgement>
  /** The judgement if the control is not served. Left out: none. */
  without? (control: Outcome): Judgement | undefined
}

export const notApplicable = (evidence: string): Judgement => ({ verdict: 'not applicable', evidence })
