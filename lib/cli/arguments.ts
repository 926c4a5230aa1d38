import { parseArgs } from 'node:util'
import { UsageError } from './errors.js'
import { quote } from '../grammar/quote.js'
import { findMeant } from '../settings/spelling.js'
import type { Flags } from './flags.js'

/**
 * Checks an argument list before `util.parseArgs` does: its messages are for programmers.
 *
 * @throws FST_MLFLOW_SECURITY_USAGE for an unknown flag, a flag without its value, a switch with a value, a flag that is given
 *   twice but takes one value, or an argument that is not a flag
 */
export function checkArguments (args: string[], flags: Flags): void {
  const seen = new Set<string>()
  for (const token of parseArgs({ args, options: flags, strict: false, tokens: true }).tokens) {
    if (token.kind !== 'option') throw new UsageError(`Unexpected ${quote(String(args[token.index]))}. ${SEE_HELP}`)
    checkFlag(token, flags, seen)
    seen.add(token.name)
  }
}

const SEE_HELP = 'See --help.'

/** Everything after the first `--` is another command. */
export function splitCommand (args: readonly string[]): [own: string[], command: string[] | undefined] {
  const at = args.indexOf('--')
  return at === -1 ? [[...args], undefined] : [args.slice(0, at), args.slice(at + 1)]
}

interface Token { readonly name: string, readonly rawName: string, readonly value: string | undefined }

function checkFlag ({ name, rawName, value }: Token, flags: Flags, seen: Set<string>): void {
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined
  if (flag === undefined) throw new UsageError(`Unknown flag ${rawName}. ${suggest(name, flags)}${SEE_HELP}`)
  if (flag.type === 'boolean' && value !== undefined) throw new UsageError(`${rawName} takes no value, but has ${quote(value)}. ${SEE_HELP}`)
  if (flag.type === 'string' && (value === undefined || value.startsWith('-'))) {
    throw new UsageError(`${rawName} needs a value: ${rawName} ${flag.value}. ${SEE_HELP}`)
  }
  if (flag.multiple !== true && seen.has(name)) throw new UsageError(`${rawName} is given twice, but takes one value. ${SEE_HELP}`)
}

function suggest (name: string, flags: Flags): string {
  const names = Object.keys(flags)
  const meant = findMeant(name, names) ??
    names.find(candidate => name.length > 2 && (candidate.startsWith(name) || name.startsWith(candidate)))
  return meant === undefined ? '' : `Did you mean --${meant}? `
}
