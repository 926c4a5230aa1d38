import type { Finding, Report } from './audit.js'
import type { Group } from './case.js'
import type { Verdict } from './judge.js'
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
const WIDTH = 100
const INDENT = ' '.repeat(COLUMN)

/** @returns the report as people read it: a line a case, and below a gap what it means and what closes it */
export function inWords (report: Report): string {
  const groups = Object.entries(GROUPS).map(([group, title]) => {
    const lines = report.findings.filter(finding => finding.group === group).map(describe)
    return `${title}\n${lines.join('\n')}`
  })
  return `${[head(report), ...groups, summary(report)].join('\n\n')}\n`
}

function head ({ target, meant: { settings }, requests, certificateProblem }: Report): string {
  const connection = describeConnection(target)
  const lines = [
    `Audit of ${target.url}, at ${connection}: ${requests} requests`,
    `Meant to be allowed: hosts ${settings.allowedHosts.join(', ')}; origins ${settings.corsAllowedOrigins.join(', ')}; frames ` +
      (settings.frameAncestors.length > 0 ? settings.frameAncestors.join(', ') : settings.xFrameOptions),
    ...(settings.disableSecurityMiddleware
      ? ['Note: by these settings all protection is off (--disable-security-middleware, MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE). What follows is what that means.']
      : []),
    ...(certificateProblem === undefined ? [] : [`Note: browsers do not trust the certificate (${certificateProblem}); the audit has asked all the same.`])
  ]
  return lines.map(line => wrap(line, '')).join('\n')
}

function describe ({ verdict, promise, evidence, why, fix }: Finding): string {
  const line = `${WORDS[verdict].padEnd(COLUMN)}${promise}`
  if (verdict === 'held') return `${line} (${evidence})`
  const rest = verdict === 'gap' || verdict === 'note'
    ? [`Seen: ${evidence}.`, `Why:  ${why}`, `Fix:  ${fix}`]
    : [`${evidence}.`]
  return [line, ...rest.map(text => wrap(text, INDENT))].join('\n')
}

function summary ({ findings, exitCode }: Report): string {
  const count = (verdict: Verdict): number => findings.filter(finding => finding.verdict === verdict).length
  const gaps = count('gap')
  const counts = `${gaps} ${gaps === 1 ? 'gap' : 'gaps'}, ${count('held')} held, ${count('inconclusive')} inconclusive, ` +
    `${count('not applicable')} not applicable, ${count('note')} notes.`
  return exitCode === 2 ? `${counts}\nNo result: what the audit cannot leave out is inconclusive.` : counts
}

/** A word longer than a line stands on one of its own. */
function wrap (text: string, indent: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && `${indent}${line} ${word}`.length > WIDTH) {
      lines.push(line)
      line = /^(Seen|Why|Fix):$/.test(lines[0]?.split(' ', 1)[0] ?? '') ? `      ${word}` : word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line].map(one => indent + one).join('\n')
}

/** @returns the report as programs read it */
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
