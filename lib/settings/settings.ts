import envSchema from 'env-schema'
import { invalidOption, unknownOption } from './errors.js'
import { DEFAULT_ALLOWED_HOSTS } from '../rules/host-rules.js'
import { DEFAULT_CORS_ALLOWED_ORIGINS } from '../rules/origin-rules.js'
import { optionNames, settingsSchema, variableNames, variables } from './schema.js'
import type { OptionName } from './schema.js'
import type { CorsOptions, FrameOptions, MlflowSecurityOptions, Settings } from '../../types/index.js'

/** The settings as they were given, by variable or, where there is none, by option. */
interface GivenSettings {
  MLFLOW_SERVER_ALLOWED_HOSTS?: string | string[]
  MLFLOW_SERVER_CORS_ALLOWED_ORIGINS?: string | string[]
  MLFLOW_SERVER_X_FRAME_OPTIONS?: string
  MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE?: boolean | string
  reportOnly?: boolean | string
  healthRoutes?: string | string[]
  frameAncestors?: string | string[]
  cors?: CorsOptions
}

const DEFAULT_HEALTH_ROUTES: readonly string[] = ['/health', '/version']

/**
 * Resolves the settings: option, then environment, then default. Neither argument is changed.
 *
 * @param options - option names, or the documented variables as `@fastify/env` hands them over; `undefined` and an
 *   empty variable count as unset
 * @param environment - `process.env`
 * @returns the settings, frozen, their lists split and `@default` replaced
 * @throws FST_MLFLOW_SECURITY_UNKNOWN_OPTION, FST_MLFLOW_SECURITY_INVALID_OPTION
 */
export function resolveSettings (
  options: MlflowSecurityOptions,
  environment: Readonly<Record<string, string | undefined>>
): Settings {
  refuseUnknown(options)
  const given = validate(merge(options, environment))
  return Object.freeze({
    allowedHosts: resolveList('allowedHosts', given.MLFLOW_SERVER_ALLOWED_HOSTS, DEFAULT_ALLOWED_HOSTS),
    corsAllowedOrigins: resolveList('corsAllowedOrigins', given.MLFLOW_SERVER_CORS_ALLOWED_ORIGINS, DEFAULT_CORS_ALLOWED_ORIGINS),
    xFrameOptions: resolveFrameOptions(given.MLFLOW_SERVER_X_FRAME_OPTIONS),
    disableSecurityMiddleware: resolveSwitch('disableSecurityMiddleware', given.MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE),
    reportOnly: resolveSwitch('reportOnly', given.reportOnly),
    healthRoutes: resolveHealthRoutes(given.healthRoutes),
    frameAncestors: resolveList('frameAncestors', given.frameAncestors, []),
    cors: Object.freeze(withoutUndefined(given.cors ?? {}))
  })
}

function refuseUnknown (options: MlflowSecurityOptions): void {
  const known: readonly string[] = [...optionNames, ...variableNames]
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    // A configuration from @fastify/env carries the app's own variables too: PORT, DATABASE_URL.
    const isVariable = /^[A-Z][A-Z0-9_]*$/.test(name)
    const meant = (isVariable ? variableNames : known).find(candidate => plain(candidate) === plain(name))
    if (isVariable && meant === undefined) continue
    throw unknownOption(name, meant)
  }
}

/** What is left of a name when spelling is put aside: `allowed-host` is `allowedHosts`. */
function plain (name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, '').replace(/s$/, '')
}

function merge (options: MlflowSecurityOptions, environment: Readonly<Record<string, string | undefined>>): Record<string, unknown> {
  const data: Record<string, unknown> = {}
  for (const option of optionNames) {
    const variable = variables[option]
    const candidates = variable === undefined
      ? [options[option]]
      : [options[option], unlessEmpty(options[variable]), unlessEmpty(environment[variable])]
    const value = candidates.find(candidate => candidate !== undefined)
    if (value !== undefined) data[variable ?? option] = value
  }
  return data
}

/** @fastify/cors takes an undefined option for a value of its own. */
function withoutUndefined (options: CorsOptions): CorsOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function unlessEmpty<Value> (value: Value): Value | undefined {
  return value === '' ? undefined : value
}

function validate (data: Record<string, unknown>): GivenSettings {
  try {
    return envSchema<GivenSettings>({
      schema: structuredClone(settingsSchema), // env-schema writes into the schema it is given
      data: [data],
      env: false, // an empty variable would count as set
      ajv: {
        customOptions: ajv => {
          ajv.opts.coerceTypes = false // it would make a host named "true" of a bare --allowed-hosts
          return ajv
        }
      }
    })
  } catch (error) {
    throw explain(error, data)
  }
}

interface SchemaError { readonly instancePath: string, readonly keyword: string, readonly message?: string }

/** @returns whether the value is right for the option `cors` */
export function isCorsOptions (value: unknown): boolean {
  try {
    validate({ cors: value })
    return true
  } catch {
    return false
  }
}

/** @returns the coded error for what env-schema found first; any other error as it is */
function explain (error: unknown, data: Record<string, unknown>): unknown {
  const [first] = isValidationError(error) ? error.errors : []
  const [, name = '', ...path] = first?.instancePath.split('/') ?? []
  const option = optionNames.find(candidate => (variables[candidate] ?? candidate) === name)
  if (first === undefined || option === undefined) return error
  return invalidOption(option, data[name], reason(first, path, data[name]), suggestion(option, data[name]))
}

/** env-schema's error carries those of Ajv. */
function isValidationError (error: unknown): error is { errors: SchemaError[] } {
  return error instanceof Error && 'errors' in error
}

function reason ({ keyword, message }: SchemaError, path: string[], value: unknown): string {
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
  const entries = split(given)
  if (entries.length === 0) throw invalidOption(option, given, 'is an empty list; leave it out for the default')
  return Object.freeze(entries.flatMap(entry => entry === '@default' && defaults.length > 0 ? defaults : entry))
}

function split (given: string | string[]): string[] {
  return [given].flat().flatMap(text => text.split(',')).map(entry => entry.trim()).filter(entry => entry !== '')
}

function resolveHealthRoutes (given: string | string[] | undefined): readonly string[] {
  const routes = given === undefined ? DEFAULT_HEALTH_ROUTES : split(given)
  const wrong = routes.find(route => !route.startsWith('/'))
  if (wrong !== undefined) throw invalidOption('healthRoutes', wrong, 'is no route URL: it does not begin with a slash', `/${wrong}`)
  return Object.freeze([...routes])
}

function resolveFrameOptions (given: string | undefined): FrameOptions {
  const wanted = given?.trim().toUpperCase()
  switch (wanted) {
    case undefined: return 'SAMEORIGIN'
    case 'SAMEORIGIN':
    case 'DENY':
    case 'NONE': return wanted
    default: throw invalidOption('xFrameOptions', given, 'is empty')
  }
}

function resolveSwitch (option: OptionName, given: boolean | string | undefined): boolean {
  if (typeof given !== 'string') return given ?? false
  const wanted = given.trim().toLowerCase()
  if (wanted === '') throw invalidOption(option, given, 'is empty')
  return wanted === 'true' || wanted === '1'
}
