import { invalidOption, unknownOption } from './errors.js'
import { splitList } from './list.js'
import { findMeant, meantValue } from './spelling.js'
import { isOptionName, optionNames, settingOf, settingsTable, variableNames } from './table.js'
import type { OptionName } from './table.js'
import { validate } from './validate.js'
import type { CorsOptions, FrameOptions, MlflowSecurityOptions, Settings } from '../../types/index.js'

/** Options of Fastify's own `register`. `@fastify/autoload` and `fastify start --prefix` pass them on. */
export const REGISTER_OPTIONS: readonly string[] = ['prefix', 'logLevel', 'logSerializers']

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Resolves the settings: option, then environment, then default. Neither argument is changed.
 *
 * @param options - option names, or the documented variables as `@fastify/env` hands them over; `undefined` and an
 *   empty variable count as unset
 * @param environment - `process.env`
 * @returns the settings, frozen, their lists split and `@default` replaced
 * @throws FST_MLFLOW_SECURITY_UNKNOWN_OPTION, FST_MLFLOW_SECURITY_INVALID_OPTION
 */
export function resolveSettings (options: MlflowSecurityOptions, environment: Environment): Settings {
  refuseUnknown(options)
  const given = validate(merge(options, environment))
  return Object.freeze({
    allowedHosts: resolveList('allowedHosts', given.allowedHosts, settingsTable.allowedHosts.default),
    corsAllowedOrigins: resolveList('corsAllowedOrigins', given.corsAllowedOrigins, settingsTable.corsAllowedOrigins.default),
    xFrameOptions: resolveFrameOptions(given.xFrameOptions),
    disableSecurityMiddleware: resolveSwitch('disableSecurityMiddleware', given.disableSecurityMiddleware),
    reportOnly: resolveSwitch('reportOnly', given.reportOnly),
    healthRoutes: resolveHealthRoutes(given.healthRoutes),
    frameAncestors: resolveList('frameAncestors', given.frameAncestors, settingsTable.frameAncestors.default),
    cors: freezeCopy(withoutUndefined(given.cors ?? settingsTable.cors.default))
  })
}

/**
 * @param own - the names of further options
 * @throws FST_MLFLOW_SECURITY_UNKNOWN_OPTION
 */
export function refuseUnknown (options: MlflowSecurityOptions, own: readonly string[] = []): void {
  for (const name of Object.keys(options)) {
    if (isOptionName(name) || REGISTER_OPTIONS.includes(name)) continue
    // A configuration from @fastify/env carries the app's own variables too: PORT, DATABASE_URL.
    const isVariable = /^[A-Z][A-Z0-9_]*$/.test(name)
    const meant = findMeant<string>(name, isVariable ? variableNames : [...own, ...optionNames, ...variableNames])
    if (isVariable && (meant === undefined || meant === name)) continue
    throw unknownOption(name, meant, own)
  }
}

function merge (options: MlflowSecurityOptions, environment: Environment): Record<string, unknown> {
  const data: Record<string, unknown> = {}
  for (const option of optionNames) {
    const { variable } = settingOf(option)
    const candidates = variable === undefined
      ? [options[option]]
      : [options[option], unlessEmpty(options[variable]), unlessEmpty(environment[variable])]
    const value = candidates.find(candidate => candidate !== undefined)
    if (value !== undefined) data[option] = value
  }
  return data
}

/** @fastify/cors treats an undefined option as a value. */
function withoutUndefined (options: CorsOptions): CorsOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** A copy, because a later change of the caller's arrays would change the settings in force. */
function freezeCopy (options: CorsOptions): Readonly<CorsOptions> {
  const copy = structuredClone(options)
  for (const value of Object.values(copy)) Object.freeze(value)
  return Object.freeze(copy)
}

function unlessEmpty<Value> (value: Value): Value | undefined {
  return value === '' ? undefined : value
}

/** Splits at commas, trims, drops empty pieces and replaces `@default`. */
function resolveList (option: OptionName, given: string | string[] | undefined, defaults: readonly string[]): readonly string[] {
  if (given === undefined) return Object.freeze([...defaults])
  const entries = splitList(given)
  if (entries.length === 0) throw invalidOption(option, given, 'is an empty list; leave it out for the default')
  return Object.freeze(entries.flatMap(entry => entry === '@default' && defaults.length > 0 ? defaults : entry))
}

function resolveHealthRoutes (given: string | string[] | undefined): readonly string[] {
  const routes = given === undefined ? settingsTable.healthRoutes.default : splitList(given)
  const wrong = routes.find(route => !route.startsWith('/'))
  if (wrong !== undefined) throw invalidOption('healthRoutes', wrong, 'is not a route URL: it does not begin with a slash', /^\w[\w/-]*$/.test(wrong) ? `/${wrong}` : undefined)
  return Object.freeze([...routes])
}

function resolveFrameOptions (given: string | undefined): FrameOptions {
  const wanted = given?.trim().toUpperCase()
  switch (wanted) {
    case undefined: return settingsTable.xFrameOptions.default
    case 'SAMEORIGIN':
    case 'DENY':
    case 'NONE': return wanted
    default: throw wrongWord('xFrameOptions', given, wanted)
  }
}

/** As MLflow reads its variables: true, false, 1 and 0 in any case. */
function resolveSwitch (option: 'disableSecurityMiddleware' | 'reportOnly', given: boolean | string | undefined): boolean {
  if (typeof given !== 'string') return given ?? settingsTable[option].default
  const wanted = given.trim().toLowerCase()
  switch (wanted) {
    case 'true':
    case '1': return true
    case 'false':
    case '0': return false
    default: throw wrongWord(option, given, wanted)
  }
}

function wrongWord (option: OptionName, given: unknown, wanted: string): Error {
  return invalidOption(option, given, wanted === '' ? 'is empty' : 'is not allowed', meantValue(option, given))
}
