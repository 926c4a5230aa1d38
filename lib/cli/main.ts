import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { checkArguments, splitCommand } from './arguments.js'
import { besideChild, parseChild } from './child/command.js'
import { aboutFlags, authorizeFlags, checkFlags, documentedFlags, requestFlags, serveFlags } from './flags.js'
import { help } from './help.js'
import { logOptions, parseLevel } from './logger.js'
import { serveOptions } from './options.js'
import { openOutputs } from './open-outputs.js'
import { UsageError } from './errors.js'

type Print = (text: string) => void

const REFUSED = 1

/**
 * Runs the command.
 *
 * @param args - the arguments after the command's name
 * @param print - writes to the standard output
 * @returns the exit code; a gateway's after it has ended
 * @throws FST_MLFLOW_SECURITY_USAGE, FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_MISSING_DEPENDENCY,
 *   FST_MLFLOW_SECURITY_CANNOT_LISTEN, FST_MLFLOW_SECURITY_UNREACHABLE
 */
export async function main (args: string[], print: Print = text => { process.stdout.write(text) }): Promise<number> {
  const [command, ...rest] = args
  if (command === 'audit') return await runAudit(rest, print)
  if (command === 'authorize') return await runAuthorize(rest, print)
  return await (command === 'check' ? runCheck(rest, print) : runGateway(args, print))
}

async function runGateway (args: string[], print: Print): Promise<number> {
  const [own, command] = splitCommand(args)
  checkArguments(own, serveFlags)
  const { values } = parseArgs({ args: own, options: serveFlags })
  if (printAbout(values, print)) return 0
  const child = command === undefined ? undefined : parseChild(command, process.env)
  const outputs = await openOutputs()
  const log = logOptions(parseLevel(values['log-level']), outputs.format)
  const settings = serveOptions(child === undefined ? values : besideChild(values, child), log)
  const { run } = await import('./lifecycle.js')
  const { runWithChild } = await import('./child/run.js')
  const code = child === undefined ? await run(settings, outputs) : await runWithChild(settings, child, outputs)
  await Promise.all([outputs.log.finish(), outputs.errors.finish()])
  return code
}

async function runCheck (args: string[], print: Print): Promise<number> {
  const [own, command] = splitCommand(args)
  checkArguments(own, checkFlags)
  const { values } = parseArgs({ args: own, options: checkFlags })
  if (printAbout(values, print)) return 0
  const host = values['host-header']
  if (host === undefined) throw new UsageError("check needs --host-header VALUE; '' stands for a request without one. See --help.")
  parseLevel(values['log-level'])
  const settings = command === undefined ? values : { ...values, ...besideChild(values, parseChild(command, process.env)) }
  const { options } = serveOptions(settings, { logger: false })
  const { check, inWords } = await import('./check.js')
  const answer = await check(options, {
    host,
    origin: values.origin,
    site: values['sec-fetch-site'],
    cookie: values.cookie === true,
    https: values.https === true || options.tls !== undefined,
    method: values.method ?? requestFlags.method.byDefault,
    path: values.path ?? requestFlags.path.byDefault
  })
  print(values.json === true ? `${JSON.stringify(answer, null, 2)}\n` : `${inWords(answer)}\n`)
  return answer.allowed ? 0 : REFUSED
}

async function runAudit (args: string[], print: Print): Promise<number> {
  const audit = await import('./audit/command.js')
  const given = audit.readArguments(args)
  return printAbout(given.values, print) ? 0 : await audit.runAudit(given, print)
}

async function runAuthorize (args: string[], print: Print): Promise<number> {
  const flags = { ...documentedFlags, ...authorizeFlags, ...aboutFlags }
  checkArguments(args, flags)
  const { values } = parseArgs({ args, options: flags })
  if (printAbout(values, print)) return 0
  const outputs = await openOutputs()
  const log = logOptions(parseLevel(values['log-level']), outputs.format)
  const { authorizeOptions } = await import('./authorize/options.js')
  const { options, listen } = authorizeOptions(values, log)
  const { runAuthorizer } = await import('./authorize/run.js')
  const code = await runAuthorizer(options, listen)
  await outputs.log.finish()
  return code
}

/** @returns whether nothing else was asked for */
function printAbout (values: { readonly help?: boolean | undefined, readonly version?: boolean | undefined }, print: Print): boolean {
  if (values.help === true) print(help())
  else if (values.version === true) print(version())
  else return false
  return true
}

function version (): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return `${version}\n`
}
