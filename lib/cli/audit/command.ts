import { parseArgs } from 'node:util'
import { quote } from '../../grammar/quote.js'
import { codedErrors } from '../../settings/errors.js'
import { resolveSettings } from '../../settings/resolve.js'
import { checkArguments } from '../arguments.js'
import { auditFlags } from '../flags.js'
import { settingOptions } from '../options.js'
import { UsageError } from '../errors.js'
import { audit } from './audit.js'
import { whatIsMeant } from './meant.js'
import { inJson, inWords } from './report.js'
import { parseTarget } from './target.js'

/** What `util.parseArgs` makes of the flags of `audit`. */
type AuditValues = ReturnType<typeof parseFlags>

/** The parsed arguments of `audit`. */
export interface AuditArguments {
  readonly urls: readonly string[]
  readonly values: AuditValues
}

/** @throws FST_MLFLOW_SECURITY_USAGE */
export function readArguments (args: string[]): AuditArguments {
  const { tokens } = parseArgs({ args, options: auditFlags, strict: false, tokens: true })
  const urls = tokens.flatMap(token => token.kind === 'positional' ? [token] : [])
  const flags = args.filter((_arg, index) => !urls.some(url => url.index === index))
  checkArguments(flags, auditFlags)
  return { urls: urls.map(({ value }) => value), values: parseFlags(flags) }
}

function parseFlags (args: string[]) {
  return parseArgs({ args, options: auditFlags }).values
}

/**
 * Audits a server and prints the report.
 *
 * @returns the exit code: 0 for no gap, 1 for gaps, 2 if a required case is inconclusive
 * @throws FST_MLFLOW_SECURITY_USAGE, FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_UNREACHABLE
 */
export async function runAudit ({ urls, values }: AuditArguments, print: (text: string) => void): Promise<number> {
  const [url, second] = urls
  if (url === undefined) throw new UsageError('audit needs a URL: audit http://mlflow.lan:5000. See --help.')
  if (second !== undefined) throw new UsageError(`audit takes one URL, but ${quote(second)} is a second one. See --help.`)
  const target = parseTarget(url, values.connect, values.header ?? [])
  const settings = resolveSettings(settingOptions(values), process.env)
  const report = await audit(target, codedErrors(() => whatIsMeant(settings, target)))
  print(values.json === true ? inJson(report) : inWords(report))
  return report.exitCode
}
