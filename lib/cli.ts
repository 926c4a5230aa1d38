#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { checkArguments } from './cli/arguments.js'
import { check, inWords } from './cli/check.js'
import { checkFlags, serveFlags } from './cli/flags.js'
import { help } from './cli/help.js'
import { loggerOptions } from './cli/logger.js'
import { gatewayOptions, listenAddress, metricsAddress, settingOptions } from './cli/options.js'
import { serve } from './cli/serve.js'
import { UsageError } from './errors.js'

/** Allowed, or ended as it should. */
const OK = 0
const REFUSED = 1
/** Wrong flags or settings; or the address is taken. */
const WRONG = 2

async function runGateway (args: string[]): Promise<void> {
  checkArguments(args, serveFlags)
  const { values } = parseArgs({ args, options: serveFlags })
  if (values.help === true) return print(help())
  if (values.version === true) return print(version())
  const options = gatewayOptions(values, loggerOptions(values['log-level'], process.stdout.isTTY))
  const metrics = values.metrics === undefined ? undefined : metricsAddress(values.metrics)
  await serve(options, listenAddress(values.host, values.port), metrics)
}

async function runCheck (args: string[]): Promise<void> {
  checkArguments(args, checkFlags)
  const { values } = parseArgs({ args, options: checkFlags })
  if (values.help === true) return print(help())
  if (values.version === true) return print(version())
  const host = values['host-header']
  if (host === undefined) throw new UsageError("check needs --host-header VALUE; '' stands for a request without one. See --help.")
  const answer = await check(settingOptions(values), values['static-prefix'], {
    host,
    origin: values.origin,
    site: values['sec-fetch-site'],
    method: values.method ?? 'GET',
    path: values.path ?? '/'
  })
  print(values.json === true ? `${JSON.stringify(answer, null, 2)}\n` : `${inWords(answer)}\n`)
  process.exitCode = answer.allowed ? OK : REFUSED
}

function version (): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return `${version}\n`
}

function print (text: string): void {
  process.stdout.write(text)
}

/** One line that says what is wrong; a stack only where this program itself is. */
function explain (error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return error instanceof Error ? String(error.stack) : String(error)
  return `fastify-mlflow-security: ${error.message}`
}

const [command, ...rest] = process.argv.slice(2)
try {
  await (command === 'check' ? runCheck(rest) : runGateway(process.argv.slice(2)))
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(WRONG)
}
