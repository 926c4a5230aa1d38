import { flagOf } from '../../../settings/table.js'
import type { Answer, Outcome } from '../answer.js'
import { notApplicable } from '../case.js'
import type { Case, Context } from '../case.js'
import { describe } from '../judge.js'
import type { Judgement } from '../judge.js'
import { random } from '../requests.js'

const CLICKJACKING = 'Another site shows your page in an invisible frame, and makes people click in it.'
const SNIFFING = 'Browsers guess the type of an answer, and may treat an artifact as a script or a page.'

/** Clickjacking, and the type of answers. */
export const frameCases: readonly Case[] = [
  {
    id: 'frames',
    group: 'frames',
    promise: 'Other sites cannot frame the page',
    failure: 'Other sites can frame the page',
    why: CLICKJACKING,
    fix: ({ meant: { settings: { xFrameOptions, frameAncestors } } }) => frameAncestors.length > 0
      ? `--frame-ancestors ${frameAncestors.join(',')}, and nothing else in Content-Security-Policy: frame-ancestors.`
      : `${flagOf('xFrameOptions', xFrameOptions)}, or Content-Security-Policy: frame-ancestors 'self'. A proxy in front must not ` +
        'remove it.',
    needs: 'page',
    without: noPage,
    isRequired: true,
    ask: async (context, page) => judgeFrames(context, page)
  },
  {
    id: 'nosniff',
    group: 'frames',
    promise: 'The page has X-Content-Type-Options: nosniff',
    failure: 'The page does not have X-Content-Type-Options: nosniff',
    why: SNIFFING,
    fix: sendNosniff,
    needs: 'page',
    without: noPage,
    ask: async (_context, page) => judgeNosniff(page)
  },
  {
    id: 'not-found-headers',
    group: 'frames',
    promise: 'A 404 has these headers too',
    failure: 'A 404 does not have these headers',
    why: 'Headers that are set only for pages are missing where nobody looks. An error page can be framed and can mislead people too.',
    fix: onEveryAnswer,
    needs: 'page',
    without: noPage,
    async ask (context) {
      const outcome = await context.wire.send(context.requests.get(`/no-such-page-${random()}`))
      if (outcome.kind !== 'answer' || outcome.status !== 404) return notApplicable(`a page that is not there gets ${describe(outcome)}`)
      return judgeBoth(context, outcome)
    }
  },
  {
    id: 'refusal-headers',
    group: 'frames',
    promise: 'A refusal has these headers too',
    failure: 'A refusal does not have these headers',
    why: 'Browsers show refusals too.',
    fix: onEveryAnswer,
    needs: 'read',
    async ask (context) {
      const refusal = context.refusals.get('foreign-origin') ?? context.refusals.get('foreign-host')
      return refusal === undefined ? notApplicable('nothing was refused') : judgeBoth(context, refusal)
    }
  },
  {
    id: 'json-headers',
    group: 'frames',
    promise: 'JSON has these headers too',
    failure: 'JSON does not have these headers',
    why: 'A frame around JSON shows nothing to click. So this is not a gap.',
    fix: onEveryAnswer,
    needs: 'read',
    ask: async (context, read) => judgeBoth(context, read)
  }
]

/** A server that serves only scripts has no start page. */
function noPage (control: Outcome): Judgement | undefined {
  return control.kind === 'answer' && control.status === 404 ? notApplicable('there is no start page') : undefined
}

function sendNosniff (): string {
  return 'Send X-Content-Type-Options: nosniff. MLflow sends it if its security is on, and the gateway always. In nginx: add_header … always.'
}

function onEveryAnswer (): string {
  return 'Set the headers where every answer passes: in the gateway, or in the proxy in front (nginx: add_header … always).'
}

function judgeBoth (context: Context, answer: Answer): Judgement {
  const missing = [judgeFrames(context, answer), judgeNosniff(answer)].filter(({ verdict }) => verdict === 'gap')
  if (missing.length === 0) return { verdict: 'held', evidence: String(answer.status) }
  const isJson = /\bjson\b/i.test(answer.headers.get('content-type') ?? '')
  return { verdict: isJson ? 'note' : 'gap', evidence: `${answer.status}, ${missing.map(({ evidence }) => evidence).join(', ')}` }
}

function judgeNosniff ({ headers }: Answer): Judgement {
  const value = headers.get('x-content-type-options')
  if (value === undefined) return { verdict: 'gap', evidence: 'no X-Content-Type-Options' }
  return { verdict: /^nosniff\b/i.test(value) ? 'held' : 'gap', evidence: `X-Content-Type-Options: ${value}` }
}

/** If there is a `frame-ancestors`, it counts; otherwise X-Frame-Options counts (CSP Level 3 §6.4.2.2). */
function judgeFrames ({ meant: { settings } }: Context, { headers }: Answer): Judgement {
  const { xFrameOptions, frameAncestors } = settings
  if (xFrameOptions === 'NONE' && frameAncestors.length === 0) return notApplicable('every site may frame it: xFrameOptions is NONE')
  const ancestors = ancestorsIn(headers.get('content-security-policy') ?? '')
  if (ancestors.length > 0) {
    const isTight = ancestors.some(sources => sources.every(source => isMeant(source, settings.frameAncestors)))
    return { verdict: isTight ? 'held' : 'gap', evidence: `Content-Security-Policy: frame-ancestors ${ancestors.map(sources => sources.join(' ')).join(', ')}` }
  }
  const value = headers.get('x-frame-options')
  if (value === undefined) return { verdict: 'gap', evidence: 'neither X-Frame-Options nor frame-ancestors' }
  return { verdict: isEffective(value, xFrameOptions) ? 'held' : 'gap', evidence: `X-Frame-Options: ${value}` }
}

/** @returns the sources of each policy that has the directive; browsers enforce all of them */
function ancestorsIn (policies: string): string[][] {
  return policies.split(',').flatMap(policy => {
    const directive = policy.split(';').map(text => text.trim()).find(text => /^frame-ancestors(\s|$)/i.test(text))
    return directive === undefined ? [] : [directive.split(/\s+/).slice(1)]
  })
}

/** @param listed - if nothing is listed, every site that is named counts as allowed on purpose */
function isMeant (source: string, listed: readonly string[]): boolean {
  if (/^'(self|none)'$/i.test(source)) return true
  if (/^(\*|[a-z][a-z0-9+.-]*:|([a-z]+:\/\/)?\*(:.*)?)$/i.test(source)) return false
  return listed.length === 0 || listed.some(entry => entry.toLowerCase() === source.toLowerCase())
}

/** Browsers treat several values, or an invalid one, as no header or as DENY (the HTML standard, §7.3.2.4). */
function isEffective (value: string, meant: string): boolean {
  const values = [...new Set(value.split(',').map(single => single.trim().toUpperCase()))]
  if (values.includes('DENY')) return values.length === 1 || values.every(single => single === 'DENY' || single === 'SAMEORIGIN')
  return values.length === 1 && values[0] === 'SAMEORIGIN' && meant !== 'DENY'
}
