import type { Answer, Outcome } from './answer.js'
import type { Case, Context, ControlName, Controls } from './case.js'
import { frameCases } from './cases/frames.js'
import { hostCases } from './cases/hosts.js'
import { originCases } from './cases/origins.js'
import { peopleCases } from './cases/people.js'
import { explainControl, isPage, isSame, isSearchResult } from './judge.js'
import type { Judgement, Verdict } from './judge.js'
import type { Meant } from './meant.js'
import { createRequests } from './requests.js'
import type { Requests } from './requests.js'
import { describeConnection } from './target.js'
import type { Target } from './target.js'
import { openWire } from './wire.js'
import type { Wire } from './wire.js'
import { UnreachableError } from './errors.js'

/** A case and its result. */
export interface Finding extends Judgement {
  readonly id: string
  readonly group: Case['group']
  /** What should hold. For a gap or a note: what is true instead. */
  readonly title: string
  readonly why: string
  readonly fix: string
  readonly isRequired: boolean
}

export interface Report {
  readonly target: Target
  readonly meant: Meant
  readonly findings: readonly Finding[]
  /** How many requests were sent. */
  readonly requests: number
  readonly certificateProblem: string | undefined
  /** 0: no gap, 1: gaps, 2: a required case is inconclusive. */
  readonly exitCode: 0 | 1 | 2
}

/** The limit for one request, in milliseconds. MLflow can be slow to answer the first one. */
const TIMEOUT = 30_000

const CASES: readonly Case[] = [...peopleCases, ...hostCases, ...originCases, ...frameCases]

const CHANGED = 'plain requests get other answers at the end than at the beginning. Was it a rate limit, a ban or a restart? After a restart, try again'

const BY_HTTPS = 'By https this is not a gap: a rebound page has no certificate for its name, so the browser stops it'

/**
 * Replays attacks against a running server. All are harmless: GET, OPTIONS, and POST to paths where MLflow only searches.
 *
 * @param timeout - milliseconds for one request
 * @throws FST_MLFLOW_SECURITY_UNREACHABLE if no server is there
 */
export async function audit (target: Target, meant: Meant, timeout = TIMEOUT): Promise<Report> {
  const wire = openWire(target, timeout)
  const requests = createRequests(target)
  const read = await wire.send(requests.read())
  if (read.kind === 'unreachable' || read.kind === 'timeout') throw unreachable(target, read.reason)
  const controls = { ...await askRest(wire, requests), read }
  const asked = await askCases({ target, meant, requests, wire, controls })
  const again = { read: await wire.send(requests.read()), ...await askRest(wire, requests) }
  const findings = isSteady(controls, again) ? asked : asked.map(doubt)
  return { target, meant, findings, requests: wire.sent, certificateProblem: wire.certificateProblem, exitCode: exitCodeOf(findings) }
}

async function askRest (wire: Wire, requests: Requests): Promise<Omit<Controls, 'read'>> {
  return { write: await wire.send(requests.sdkWrite()), page: await wire.send(requests.page()) }
}

function unreachable (target: Target, reason: string): Error {
  const { url } = target
  return new UnreachableError(`audit: ${url} cannot be audited at ${describeConnection(target)}: ${reason}. ${hintFor(reason, target)}`)
}

function hintFor (reason: string, { tls, connect }: Target): string {
  if (reason.startsWith('getaddrinfo ')) {
    return `The name ${connect.host} does not resolve on this machine. Is it spelt right? If only other machines know it, give the address: --connect ADDRESS.`
  }
  if (/certificate|self.signed|altname/i.test(reason)) {
    return 'With --header, the certificate must be trusted, because the header may be a login. To add your own, set NODE_EXTRA_CA_CERTS=FILE.'
  }
  return `Is the server running there${tls ? ', and does it speak https' : ''}?`
}

/** The test for each control, by name: was it served? */
const SERVED: Readonly<Record<ControlName, (outcome: Outcome) => outcome is Answer>> = {
  read: isSearchResult, write: isSearchResult, page: isPage
}
const CONTROL_WORDS: Readonly<Record<ControlName, string>> = {
  read: 'a plain GET of experiments/search', write: 'a plain POST to runs/search', page: 'the start page'
}

async function askCases (known: Omit<Context, 'verdicts' | 'refusals'>): Promise<Finding[]> {
  const verdicts = new Map<string, Verdict>()
  const context: Context = { ...known, verdicts, refusals: new Map() }
  const findings: Finding[] = []
  for (const one of CASES) {
    const judgement = softenByHttps(one, context, await askCase(one, context))
    verdicts.set(one.id, judgement.verdict)
    const { id, group, promise, failure, why, isRequired = false } = one
    const hasFailed = judgement.verdict === 'gap' || judgement.verdict === 'note'
    findings.push({ ...judgement, id, group, title: hasFailed ? failure : promise, why, fix: one.fix(context), isRequired })
  }
  return findings
}

async function askCase (one: Case, context: Context): Promise<Judgement> {
  // A login page is a page as well. So MLflow's own answer is looked for first.
  const needs = isSearchResult(context.controls.read) ? one.needs : 'read'
  const control = context.controls[needs]
  if (SERVED[needs](control)) return await one.ask(context, control)
  return one.without?.(control) ?? { verdict: 'inconclusive', evidence: explainControl(control, CONTROL_WORDS[needs]) }
}

function softenByHttps ({ group }: Case, { target }: Context, { verdict, evidence }: Judgement): Judgement {
  return group === 'host' && target.tls && verdict === 'gap' ? { verdict: 'note', evidence: `${evidence}. ${BY_HTTPS}` } : { verdict, evidence }
}

function isSteady (before: Controls, after: Controls): boolean {
  return isSame(before.read, after.read) && isSame(before.write, after.write) && isSame(before.page, after.page)
}

/** If the server has begun to refuse us (a rate limit), its refusals prove nothing. What got through is still a gap. */
function doubt (finding: Finding): Finding {
  const { id, group, verdict } = finding
  const isRefusal = verdict === (group === 'people' ? 'gap' : 'held') || (id === 'refusal-headers' && verdict === 'gap')
  return isRefusal
    ? { ...finding, verdict: 'inconclusive', evidence: `${finding.evidence}; but ${CHANGED}` }
    : finding
}

function exitCodeOf (findings: readonly Finding[]): Report['exitCode'] {
  if (findings.some(({ verdict }) => verdict === 'gap')) return 1
  return findings.some(({ verdict, isRequired }) => isRequired && verdict === 'inconclusive') ? 2 : 0
}
