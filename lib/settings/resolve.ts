import { createRequire } from 'node:module'
import type envSchemaType from 'env-schema'
import type { EnvSchemaOpt } from 'env-schema'
import { invalidOption, unknownOption } from './errors.js'
import { DEFAULT_LISTS } from './default-lists.js'
import { splitList } from './list.js'
import { findMeant } from './spelling.js'
import { arePlain } from './valid-by-type.js'
import { isOptionName, optionNames, settingOf, settingsSchema, settingsTable, variableNames } from './table.js'
import type { OptionName } from './table.js'
import type { CorsOptions, FrameOptions, MlflowSecurityOptions, Settings } from '../../types/index.js'

/** The settings as given, in the forms that the schema takes. */
type GivenSettings = { [Option in OptionName]?: Given<(typeof settingsTable)[Option]['schema']> }
type Given<Schema> =
  Schema extends { readonly type: 'object' } ? CorsOptions
    : Schema extends { readonly items: object } ? string | string[]
      : Schema extends { readonly type: 'string' } ? string : boolean | string

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
    allowedHosts: resolveList('allowedHosts', given.allowedHosts, DEFAULT_LISTS.allowedHosts),
    corsAllowedOrigins: resolveList('corsAllowedOrigins', given.corsAllowedOrigins, DEFAULT_LISTS.corsAllowedOrigins),
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

/** What Ajv says of a wrong value. */
interface SchemaError { readonly instancePath: string, readonly keyword: string, readonly message?: string }

interface Problem {
  readonly option: OptionName
  /** The wrong part within the option's value: `['maxAge']`. */
  readonly path: readonly string[]
  readonly error: SchemaError
}

const require = createRequire(import.meta.url)

/** A copy, because env-schema writes into its schema. Always the same copy, because Ajv recognises a compiled schema by identity. */
const schema = structuredClone(settingsSchema)

/** How env-schema gets its Ajv. After the first use it gets the same Ajv again, because compiling the schema takes milliseconds. */
let validator: NonNullable<EnvSchemaOpt['ajv']> = {
  customOptions: ajv => {
    ajv.opts.coerceTypes = false // otherwise a bare --allowed-hosts would become a host named "true"
    validator = ajv
    return ajv
  }
}

/** Validates by the schema. If a value is wrong, env-schema throws an error that contains Ajv's errors. */
function tryValidate (data: Record<string, unknown>): { readonly given: GivenSettings } | { readonly problem: Problem } {
  if (arePlain(data)) return { given: data }
  const envSchema: typeof envSchemaType = require('env-schema')
  try {
    // Without `env: false`, an empty variable would count as set.
    const given = envSchema<GivenSettings>({ schema, data: [data], env: false, ajv: validator })
    return { given }
  } catch (error) {
    const problem = problemOf(error)
    if (problem === undefined) throw error
    return { problem }
  }
}

function problemOf (thrown: unknown): Problem | undefined {
  const [error] = isValidationError(thrown) ? thrown.errors : []
  const [, option = '', ...path] = error?.instancePath.split('/') ?? []
  return error !== undefined && isOptionName(option) ? { option, path, error } : undefined
}

function isValidationError (error: unknown): error is { errors: SchemaError[] } {
  return error instanceof Error && 'errors' in error
}

function validate (data: Record<string, unknown>): GivenSettings {
  const result = tryValidate(data)
  if ('given' in result) return result.given
  const { option } = result.problem
  throw invalidOption(option, data[option], reason(result.problem, data[option]), suggestion(option, data[option]))
}

/** @returns whether the value is right for the option `cors` */
export function isCorsOptions (value: unknown): value is CorsOptions {
  return 'given' in tryValidate({ cors: value })
}

function reason ({ path, error: { keyword, message } }: Problem, value: unknown): string {
  if (value === true) return 'is a flag without a value'
  if (path.length > 0) return `is wrong: ${path.join('.')} ${message}`
  return keyword === 'type' ? 'has the wrong type' : 'is not allowed'
}

function suggestion (option: OptionName, value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const word = value.toLowerCase().replace(/[^a-z]/g, '')
  if (option === 'xFrameOptions') {
    if (word.startsWith('same')) return 'SAMEORIGIN'
    // No browser knows ALLOW-FROM any more (RFC 7034 §2.1): frame-ancestors took its place.
    if (word.startsWith('allowfrom')) return value.replace(/^\s*allow-from[:\s]*/i, 'frameAncestors: ')
    return /^(allow|off|false|no$|disable)/.test(word) ? 'NONE' : undefined
  }
  if (/^(yes|y|on|enabled?)$/.test(word)) return 'true'
  return /^(no|n|off|disabled?)$/.test(word) ? 'false' : undefined
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
  return invalidOption(option, given, wanted === '' ? 'is empty' : 'is not allowed', suggestion(option, given))
}
