import type { Finding, Report } from './audit.js'
import type { Group } from './case.js'
import type { Verdict } from './judge.js'
import { wrap } from '../wrap.js'
import { flagOf, settingsTable } from '../../settings/table.js'
import { describeConnection } from './target.js'

const GROUPS: Readonly<Record<Group, string>> = {
  people: 'What people need',
  host: 'DNS rebinding: another name leads to your server',
  origin: "Cross-origin requests: another site's page calls your server",
  frames: 'Clickjacking, and the type of answers'
}

const WORDS: Readonly<Record<Verdict, string>> = {
  held: 'held', gap: 'GAP', inconclusive: 'inconclusive', 'not applicable': 'not applicable', note: 'note'
}
const COLUMN = 'not applicable'.length + 2
const INDENT = ' '.repeat(COLUMN)

/** @returns the report for people: a line for each case; below a gap, what it means and what closes it */
export function inWords (report: Report): string {
  const { findings } = report
  const groups = Object.entries(GROUPS).map(([group, title]) => [
    title, ...findings.flatMap((finding, i) => finding.group === group ? [describe(finding, findings.slice(0, i))] : [])
  ].join('\n'))
  return `${[head(report), ...groups, summary(report)].join('\n\n')}\n`
}

function head (report: Report): string {
  const { target, meant: { settings }, requests, certificateProblem } = report
  const lines = [
    `Audit of ${target.url} at ${describeConnection(target)}, ${requests} requests`,
    `Meant to be allowed: ${meantInWords(report)}`,
    ...(settings.disableSecurityMiddleware
      ? [`Note: ${flagOf('disableSecurityMiddleware')} is set. It causes the gaps below.`]
      : []),
    ...(certificateProblem === undefined ? [] : [`Note: browsers do not trust the certificate (${certificateProblem}). The audit was done all the same.`])
  ]
  return lines.map(line => wrap(line, '', '  ')).join('\n')
}

function meantInWords ({ target, meant: { settings, hostsAreDefault } }: Report): string {
  const { allowedHosts, corsAllowedOrigins, xFrameOptions, frameAncestors } = settings
  return `hosts ${hostsAreDefault ? `${target.authority}, ${settingsTable.allowedHosts.defaultInWords}` : allowedHosts.join(', ')}; ` +
    `origins ${target.origin}, ${corsAllowedOrigins.join(', ')}; ` +
    `frames ${frameAncestors.length > 0 ? frameAncestors.join(', ') : xFrameOptions}`
}

/** @param before - the findings above it, so that nothing is said twice */
function describe ({ verdict, title, evidence, why, fix }: Finding, before: readonly Finding[]): string {
  const label = WORDS[verdict].padEnd(COLUMN)
  const explains = verdict === 'gap' || verdict === 'note'
  if (!explains) return label + wrap(`${title}: ${shorten(verdict, evidence, before)}`, INDENT, INDENT).slice(COLUMN)
  const isKnown = before.some(other => other.verdict === verdict && other.why === why && other.fix === fix)
  const rest = [`Seen: ${evidence}.`, ...(isKnown ? ['Why and fix: as above.'] : [`Why:  ${why}`, `Fix:  ${fix}`])]
  return [label + title, ...rest.map(text => wrap(text, INDENT, `${INDENT}      `))].join('\n')
}

/** Behind a login wall every case has the same evidence. */
function shorten (verdict: Verdict, evidence: string, before: readonly Finding[]): string {
  return verdict === 'inconclusive' && before.some(other => other.evidence === evidence) ? 'as above' : evidence
}

function summary ({ findings, exitCode }: Report): string {
  const count = (verdict: Verdict): number => findings.filter(finding => finding.verdict === verdict).length
  const plural = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`
  return [
    `${plural(count('gap'), 'gap')}, ${count('held')} held, ${count('inconclusive')} inconclusive, ${count('not applicable')} not applicable, ` +
      `${plural(count('note'), 'note')}.`,
    ...(exitCode === 1 ? ['"The gateway" is npx fastify-mlflow-security --upstream URL, in front of the MLflow server.'] : []),
    ...(exitCode === 2 ? ['No result: the audit needs an answer to the cases marked "inconclusive" above.'] : [])
  ].join('\n')
}

/** @returns the report for programs */
export function inJson ({ target, meant: { settings }, requests, certificateProblem, findings, exitCode }: Report): string {
  const { allowedHosts, corsAllowedOrigins, xFrameOptions, frameAncestors } = settings
  return `${JSON.stringify({
    url: target.url,
    connectedTo: describeConnection(target),
    meant: { allowedHosts, corsAllowedOrigins, xFrameOptions, frameAncestors },
    requests,
    certificateProblem,
    exitCode,
    findings
  }, null, 2)}\n`
}
