import type { MlflowSecurityEnvironment } from '../../types/index.js'

/** The settings in the README's order. */
export const optionNames = [
  'allowedHosts', 'corsAllowedOrigins', 'xFrameOptions', 'disableSecurityMiddleware',
  'reportOnly', 'healthRoutes', 'frameAncestors', 'cors'
] as const

export type OptionName = typeof optionNames[number]

export type VariableName = keyof MlflowSecurityEnvironment

/** The documented environment variables of the MLflow tracking server, by option. */
export const variables: Readonly<Partial<Record<OptionName, VariableName>>> = {
  allowedHosts: 'MLFLOW_SERVER_ALLOWED_HOSTS',
  corsAllowedOrigins: 'MLFLOW_SERVER_CORS_ALLOWED_ORIGINS',
  xFrameOptions: 'MLFLOW_SERVER_X_FRAME_OPTIONS',
  disableSecurityMiddleware: 'MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE'
}

export const variableNames: readonly VariableName[] = Object.values(variables)

/** The settings that the command takes, and an app that passes on its options from `fastify-cli`. */
export const flags = {
  allowedHosts: 'allowed-hosts',
  corsAllowedOrigins: 'cors-allowed-origins',
  xFrameOptions: 'x-frame-options',
  disableSecurityMiddleware: 'disable-security-middleware',
  reportOnly: 'report-only',
  frameAncestors: 'frame-ancestors'
} as const

const flagOf: Readonly<Partial<Record<OptionName, string>>> = flags

const allowed: Readonly<Record<OptionName, string>> = {
  allowedHosts: 'host names (mlflow.company.com, mlflow.internal:5000, *.company.com), IP addresses and ranges (192.168.1.100, 192.168.*, ' +
    '10.0.0.0/8, fd00::/8), "@default" for the default list and "*" for every host; an array, or a string with commas',
  corsAllowedOrigins: 'origins (https://app.company.com, https://*.company.com, http://localhost:*), "localhost:*", "@default" for the ' +
    'default list, "null" and "*" for every origin; an array, or a string with commas',
  xFrameOptions: '"SAMEORIGIN", "DENY" or "NONE"',
  disableSecurityMiddleware: 'true or false',
  reportOnly: 'true or false',
  healthRoutes: 'route URLs as they are registered ("/health"); an array, or a string with commas',
  frameAncestors: 'sites that may embed this one (https://notebook.company.com, https://*.company.com, http://localhost:*); an array, or ' +
    'a string with commas',
  cors: 'an object with the @fastify/cors options methods, allowedHeaders, exposedHeaders, maxAge, cacheControl, optionsSuccessStatus, ' +
    'preflight, preflightContinue'
}

/** How messages name an option, its variable and its flag included, and what is allowed for it. */
export interface OptionDescription { readonly name: string, readonly allowed: string }

export function describeOption (option: OptionName): OptionDescription {
  const flag = flagOf[option]
  const elsewhere = [variables[option], flag && `--${flag}`].filter(name => name !== undefined)
  return { name: elsewhere.length > 0 ? `${option} (${elsewhere.join(', ')})` : option, allowed: allowed[option] }
}

const list = { type: ['string', 'array'], items: { type: 'string' } } as const
// MLflow reads its variables so: true, false, 1 and 0 in any case. A string stays a string here; settings.ts reads it.
const flag = { type: ['boolean', 'string'], pattern: '^\\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|1|0)?\\s*$' } as const

/**
 * The JSON schema of the four documented environment variables, for `env-schema` and `@fastify/env`: an app merges
 * its `properties` into its own schema and passes the whole configuration to the plugin.
 */
export const mlflowSecuritySchema = {
  type: 'object',
  properties: {
    MLFLOW_SERVER_ALLOWED_HOSTS: { ...list, description: `Allowed hosts: ${allowed.allowedHosts}.` },
    MLFLOW_SERVER_CORS_ALLOWED_ORIGINS: { ...list, description: `CORS origins: ${allowed.corsAllowedOrigins}.` },
    MLFLOW_SERVER_X_FRAME_OPTIONS: {
      type: 'string',
      pattern: '^\\s*([Ss][Aa][Mm][Ee][Oo][Rr][Ii][Gg][Ii][Nn]|[Dd][Ee][Nn][Yy]|[Nn][Oo][Nn][Ee])?\\s*$',
      description: `X-Frame-Options: ${allowed.xFrameOptions}.`
    },
    MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: { ...flag, description: `Disable security: ${allowed.disableSecurityMiddleware}.` }
  }
} as const

// Tokens (RFC 9110 §5.6.2), with commas: these go into header fields as they are.
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const tokens = {
  type: ['string', 'array'],
  pattern: `^\\s*${TOKEN}(\\s*,\\s*${TOKEN})*\\s*$`,
  minItems: 1,
  items: { type: 'string', pattern: `^${TOKEN}$` }
} as const

const corsNames = [
  'methods', 'allowedHeaders', 'exposedHeaders', 'maxAge', 'cacheControl', 'optionsSuccessStatus', 'preflight',
  'preflightContinue'
] as const

/** The documented variables and, under their option names, the settings that have no variable. */
export const settingsSchema = {
  type: 'object',
  properties: {
    ...mlflowSecuritySchema.properties,
    reportOnly: flag,
    healthRoutes: list,
    frameAncestors: list,
    cors: {
      type: 'object',
      propertyNames: { enum: corsNames },
      properties: {
        methods: tokens,
        allowedHeaders: tokens,
        exposedHeaders: tokens,
        maxAge: { type: 'integer', minimum: 0 },
        cacheControl: { type: ['string', 'integer'], pattern: '^[\\x20-\\x7e]+$' },
        optionsSuccessStatus: { type: 'integer', minimum: 200, maximum: 299 },
        preflight: { type: 'boolean' },
        preflightContinue: { type: 'boolean' }
      }
    }
  }
} as const
