import { createError } from '@fastify/error'
import type { FastifyError } from '@fastify/error'
import { MAX_QUOTED, escapeNonASCII, quote } from '../grammar/quote.js'
import { SettingProblem } from './problem.js'
import { optionNames, settingOf, variableNames } from './table.js'
import type { OptionName } from './table.js'

export const InvalidOptionError = createError<[string]>('FST_MLFLOW_SECURITY_INVALID_OPTION', '%s', 500)
export const UnknownOptionError = createError<[string]>('FST_MLFLOW_SECURITY_UNKNOWN_OPTION', '%s', 500)

/** The name of an option in messages, with its variable and flag, and what is allowed for it. */
export interface OptionDescription { readonly name: string, readonly allowed: string }

function describeOption (option: OptionName): OptionDescription {
  const { variable, flag, allowed } = settingOf(option)
  return { name: nameWith(option, variable, flag), allowed }
}

/** @returns the name of an option with its variable and its flag: `allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS, --allowed-hosts)` */
export function nameWith (option: string, variable: string | undefined, flag: string | undefined): string {
  const elsewhere = [variable, flag && `--${flag}`].filter(name => name !== undefined)
  return elsewhere.length > 0 ? `${option} (${elsewhere.join(', ')})` : option
}

/**
 * @param value - the value, or its wrong entry
 * @param reason - what is wrong with it, as the predicate of a sentence
 * @param fix - what was probably meant
 */
export function invalidOption (option: OptionName | OptionDescription, value: unknown, reason: string, fix?: string): FastifyError {
  const { name, allowed } = typeof option === 'string' ? describeOption(option) : option
  return new InvalidOptionError(`${name}: ${show(value)} ${reason}. Allowed: ${allowed}.${fix ? ` Did you mean ${show(fix)}?` : ''}`)
}

/**
 * Runs a step that compiles settings. Rules and policy do not use Fastify's errors: they throw a {@link SettingProblem}, which
 * becomes a coded error here.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION with the wrong entry and its fix
 */
export function codedErrors<Result> (compile: () => Result): Result {
  try {
    return compile()
  } catch (error) {
    throw error instanceof SettingProblem ? invalidOption(error.option, error.entry, error.message, error.fix) : error
  }
}

export function missingOption ({ name, allowed }: OptionDescription): FastifyError {
  return new InvalidOptionError(`${name} is missing. It is ${allowed}.`)
}

export function unknownOption (option: string, meant: string | undefined, own: readonly string[] = []): FastifyError {
  return new UnknownOptionError(`Unknown option ${show(option)}.${meant === undefined ? '' : ` Did you mean ${show(meant)}?`} ` +
    `Allowed: ${[...own, ...optionNames].join(', ')}, and the environment names ${variableNames.join(', ')}. ` +
    'Other names in capitals are left alone, because a configuration from the environment may have them.')
}

/** @returns a setting's value as messages show it: in printable ASCII, at most 255 characters */
export function show (value: unknown): string {
  if (typeof value === 'string') return quote(value)
  return escapeNonASCII(JSON.stringify(value) ?? String(value)).slice(0, MAX_QUOTED)
}
