import { createRequire } from 'node:module'
import type envSchemaType from 'env-schema'
import type { EnvSchemaOpt } from 'env-schema'
import { invalidOption } from './errors.js'
import { meantValue } from './spelling.js'
import { isOptionName, settingsSchema } from './table.js'
import type { OptionName, settingsTable } from './table.js'
import { arePlain } from './valid-by-type.js'
import type { CorsOptions } from '../../types/index.js'

/** The settings as given, in the forms that the schema takes. */
export type GivenSettings = { [Option in OptionName]?: Given<(typeof settingsTable)[Option]['schema']> }
type Given<Schema> =
  Schema extends { readonly type: 'object' } ? CorsOptions
    : Schema extends { readonly items: object } ? string | string[]
      : Schema extends { readonly type: 'string' } ? string : boolean | string

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

/** @throws FST_MLFLOW_SECURITY_INVALID_OPTION */
export function validate (data: Record<string, unknown>): GivenSettings {
  const result = tryValidate(data)
  if ('given' in result) return result.given
  const { option } = result.problem
  throw invalidOption(option, data[option], reason(result.problem, data[option]), meantValue(option, data[option]))
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
