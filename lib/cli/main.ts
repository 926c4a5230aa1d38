import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { UsageError } from '../errors.js'
import { checkArguments } from './arguments.js'
import { checkFlags, serveFlags } from './flags.js'
import { help } from './help.js'
import { loggerOptions } from './logger.js'
import { serveOptions, settingOptions } from './options.js'

const REFUSED = 1

/**
 * Runs the command.
 *
 * @param args - what stands after the command's name
 * @throws FST_MLFLOW_SECURITY_USAGE, FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_MISSING_DEPENDENCY, and what
 *   `listen` throws
 */
export async function main (args: string[]): Promise<void> {
  const [command, ...rest] = args
  await (command === 'check' ? runCheck(rest) : runGateway(args))
}

async function runGateway (args: string[]): Promise<void> {
  checkArguments(args, serveFlags)
  const { values } = parseArgs({ args, options: serveFlags })
  if (values.help === true) return print(help())
  if (values.version === true) return print(version())
  const { options, listen, metrics } = serveOptions(values, loggerOptions(values['log-level'], process.stdout.isTTY))
  const { serve } = await import('./serve.js')
  await serve(options, listen, metrics)
}

async function runCheck (args: string[]): Promise<void> {
  checkArguments(args, checkFlags)
  const { values } = parseArgs({ args, options: checkFlags })
  if (values.help === true) return print(help())
  if (values.version === true) return print(version())
  const host = values['host-header']
  if (host === undefined) throw new UsageError("check needs --host-header VALUE; '' stands for a request without one. See --help.")
  const { options } = serveOptions(values, loggerOptions(values['log-level'], false))
  const { check, inWords, refuseWrongGateway } = await import('./check.js')
  refuseWrongGateway(options)
  const answer = await check(settingOptions(values), values['static-prefix'], {
    host, origin: values.origin, site: values['sec-fetch-site'], method: values.method ?? 'GET', path: values.path ?? '/'
  })
  print(values.json === true ? `${JSON.stringify(answer, null, 2)}\n` : `${inWords(answer)}\n`)
  if (!answer.allowed) process.exitCode = REFUSED
}

function version (): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return `${version}\n`
}

function print (text: string): void {
  process.stdout.write(text)
}
