import { parseAuthority } from '../../grammar/authority.js'
import { MAX_QUOTED, quote } from '../../grammar/quote.js'
import type { Answer, Outcome } from './answer.js'

/** `gap`: what the case promises does not hold. */
export type Verdict = 'held' | 'gap' | 'inconclusive' | 'not applicable' | 'note'

/** A verdict and its evidence in words. */
export interface Judgement {
  readonly verdict: Verdict
  readonly evidence: string
}

/** How MLflow, Starlette, webpack-dev-server and this package say it. */
const INVALID_HOST = /Invalid Host header/i
/** Statuses that do not judge the request itself: too early, too slow, too many. */
const NOT_ABOUT_THIS_REQUEST = new Set([408, 425, 429])
const LOGIN = new Set([401, 407, 511])

/** @returns whether MLflow has answered a search of experiments or runs */
export function isSearchResult (outcome: Outcome): outcome is Answer {
  if (outcome.kind !== 'answer' || outcome.status !== 200) return false
  try {
    const body: unknown = JSON.parse(outcome.body)
    if (typeof body !== 'object' || body === null || Array.isArray(body)) return false
    // MLflow leaves empty lists out.
    return Array.isArray(Reflect.get(body, 'experiments')) || Array.isArray(Reflect.get(body, 'runs')) || Object.keys(body).length === 0
  } catch {
    return false
  }
}

/** @returns whether it is a page of HTML */
export function isPage (outcome: Outcome): outcome is Answer {
  return outcome.kind === 'answer' && outcome.status === 200 && /^text\/html\b/i.test(outcome.headers.get('content-type') ?? '')
}

/** @returns whether it is MLflow's start page */
export function isStartPage (outcome: Outcome): outcome is Answer {
  return isPage(outcome) && /<title>[^<]*mlflow[^<]*<\/title>/i.test(outcome.body)
}

export function isSwitch (outcome: Outcome): outcome is Answer {
  return outcome.kind === 'answer' && outcome.status === 101
}

/**
 * Judges the answer to an attack.
 *
 * @param isServed - whether the answer is the control's
 * @param host - the Host that the request named
 */
export function judgeAttack (outcome: Outcome, isServed: (outcome: Outcome) => boolean, host: string): Judgement {
  if (outcome.kind === 'closed') return { verdict: 'held', evidence: 'connection closed' }
  if (outcome.kind !== 'answer') return { verdict: 'inconclusive', evidence: outcome.reason }
  const { status, headers, body } = outcome
  if (isServed(outcome)) return { verdict: 'gap', evidence: `served, ${status}` }
  if (NOT_ABOUT_THIS_REQUEST.has(status)) return { verdict: 'inconclusive', evidence: describe(outcome) }
  if (status >= 400 && status < 500) return { verdict: 'held', evidence: String(status) }
  if (status >= 300 && status < 400 && leadsAway(headers.get('location'), host)) return { verdict: 'held', evidence: describe(outcome) }
  // Caddy answers so if no site has the name.
  if (status === 200 && body === '') return { verdict: 'held', evidence: '200 with nothing in it' }
  return { verdict: 'inconclusive', evidence: describe(outcome) }
}

function leadsAway (location: string | undefined, host: string): boolean {
  const to = parseAuthority(/^(?:https?:)?\/\/([^/?#]*)/i.exec(location ?? '')?.[1] ?? '')
  return to !== undefined && to.host !== parseAuthority(host)?.host
}

/** Judges the answer to a request that has to pass. */
export function judgeNeed (outcome: Outcome, isServed: (outcome: Outcome) => boolean): Judgement {
  if (outcome.kind === 'answer' && isServed(outcome)) return { verdict: 'held', evidence: String(outcome.status) }
  const isRefused = outcome.kind === 'answer' && outcome.status >= 400 && outcome.status < 500 &&
    !NOT_ABOUT_THIS_REQUEST.has(outcome.status) && !LOGIN.has(outcome.status)
  return { verdict: isRefused ? 'gap' : 'inconclusive', evidence: describe(outcome) }
}

/**
 * The verdict on several requests of one case. One that gets through makes a gap. One that cannot be judged leaves the case open.
 *
 * @param asked - what each request carried, and how it was judged
 */
export function summarise (asked: ReadonlyArray<readonly [what: string, judgement: Judgement]>): Judgement {
  for (const verdict of ['gap', 'inconclusive'] as const) {
    const found = asked.filter(([, judgement]) => judgement.verdict === verdict)
    if (found.length > 0) return { verdict, evidence: byEvidence(found) }
  }
  return { verdict: 'held', evidence: [...new Set(asked.map(([, { evidence }]) => evidence))].join(', ') }
}

function byEvidence (asked: ReadonlyArray<readonly [what: string, judgement: Judgement]>): string {
  const groups = new Map<string, string[]>()
  for (const [what, { evidence }] of asked) groups.set(evidence, [...groups.get(evidence) ?? [], what])
  return [...groups].map(([evidence, whats]) => `${whats.join(', ')}: ${evidence}`).join('; ')
}

/** @returns whether the server does not know itself by this name */
export function isInvalidHost (outcome: Outcome): outcome is Answer {
  return outcome.kind === 'answer' && outcome.status >= 400 && outcome.status < 500 && INVALID_HOST.test(outcome.body)
}

/** The answer in one line. */
export function describe (outcome: Outcome): string {
  if (outcome.kind !== 'answer') return outcome.reason
  const { status, headers, body } = outcome
  const location = headers.get('location')
  if (location !== undefined) return `${status}, to ${quote(location)}`
  const type = headers.get('content-type') ?? ''
  const line = (/html/i.test(type) ? titleOf(body) : messageIn(body)).trim().replace(/[\r\n].*$/s, '')
  return line === '' ? String(status) : `${status}, ${quote(line.slice(0, MAX_QUOTED / 2))}`
}

function messageIn (body: string): string {
  const [, message = body] = /"message": ?"((?:[^"\\]|\\.)*)"/.exec(body) ?? []
  return message.replace(/\\(.)/g, '$1')
}

function titleOf (page: string): string {
  const [, title = ''] = /<title>([^<]*)/i.exec(page) ?? []
  return title
}

/** Whether two answers to the same request mean the same. */
export function isSame (one: Outcome, other: Outcome): boolean {
  return kindOf(one) === kindOf(other)
}

function kindOf (outcome: Outcome): string {
  if (outcome.kind !== 'answer') return outcome.kind
  return `${outcome.status} ${isSearchResult(outcome)} ${isPage(outcome)}`
}

/** Why a control failed, and what to do about it. */
export function explainControl (outcome: Outcome, what: string): string {
  const answered = `${what} gets ${outcome.kind === 'answer' ? describe(outcome) : `no answer: ${outcome.reason}`}`
  if (outcome.kind !== 'answer') return answered
  const { status, headers } = outcome
  if (isInvalidHost(outcome)) return `${answered} (see "answers to its own address")`
  if (LOGIN.has(status) || status === 403) return `${answered}. If the server wants a login, send it: --header 'Authorization: …'`
  if (headers.has('location')) return `${answered}. If that URL is MLflow or a login page, audit that URL, or send a login: --header 'Cookie: …'`
  if (status === 404) return `${answered}. Is MLflow below another path? Add that path to the URL`
  if (status === 429) return `${answered}: a rate limit. Exempt this address from it, or wait`
  return answered
}
