import type { MlflowSecurityEnvironment, Settings } from '../../types/index.js'

export type OptionName = keyof Settings

export type VariableName = keyof MlflowSecurityEnvironment

/** The facts about a setting. Schema, flags, help and messages come from here. The public types and the README's table are checked
 * against it. */
export interface Setting {
  /** Its name in MLflow's documentation. */
  readonly title: string
  /** The environment variable that MLflow documents. */
  readonly variable?: VariableName
  /** The flag of the command, if it has one. */
  readonly flag?: string
  /** The flag's text on the help page. */
  readonly help?: string
  /** The placeholder for the flag's value on the help page. A switch has none. */
  readonly value?: string
  /** The type of the value, in JSON Schema. `resolve.ts` parses the strings and reports wrong ones. */
  readonly schema: object
  readonly default: Settings[OptionName]
  /** The default in words, if the value itself is long. */
  readonly defaultInWords?: string
  /** What is allowed, in the words of messages. */
  readonly allowed: string
}

const LIST = { type: ['string', 'array'], items: { type: 'string' } } as const
const SWITCH = { type: ['boolean', 'string'] } as const

// Tokens (RFC 9110 §5.6.2) and commas. The value goes into header fields unchanged.
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const TOKENS = {
  type: ['string', 'array'],
  pattern: `^ *${TOKEN}( *, *${TOKEN})* *$`,
  minItems: 1,
  items: { type: 'string', pattern: `^${TOKEN}$` }
} as const

/** The `@fastify/cors` options that are passed on. */
const CORS_OPTIONS = {
  methods: TOKENS,
  allowedHeaders: TOKENS,
  exposedHeaders: TOKENS,
  maxAge: { type: 'integer', minimum: 0 },
  cacheControl: { type: ['string', 'integer'], pattern: '^[\\x20-\\x7e]+$' },
  optionsSuccessStatus: { type: 'integer', minimum: 200, maximum: 299 },
  preflight: { type: 'boolean' },
  preflightContinue: { type: 'boolean' }
} as const

/** The settings, in the order in which the documentation has them. */
export const settingsTable = {
  allowedHosts: {
    title: 'Allowed hosts',
    variable: 'MLFLOW_SERVER_ALLOWED_HOSTS',
    flag: 'allowed-hosts',
    help: 'Hosts that requests may name, against DNS rebinding: mlflow.company.com, *.company.com, 192.168.1.100, 10.0.0.0/8, ' +
      '@default for the default list, @addresses for every IP address, * for every host',
    value: 'HOSTS',
    schema: LIST,
    // This machine, private networks and shared address space (RFC 6598: Tailscale, pods of EKS). DNS rebinding needs a name.
    default: ['localhost', '*.localhost', '127.0.0.0/8', '::1', '0.0.0.0', '::', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'],
    defaultInWords: 'localhost and private addresses',
    allowed: 'host names (mlflow.company.com, mlflow.internal:5000, *.company.com), IP addresses and ranges (192.168.1.100, 192.168.*, ' +
      '10.0.0.0/8, fd00::/8), "@default" for the default list, "@addresses" for every IP address and "*" for every host; an array, or a string with commas'
  },
  corsAllowedOrigins: {
    title: 'CORS origins',
    variable: 'MLFLOW_SERVER_CORS_ALLOWED_ORIGINS',
    flag: 'cors-allowed-origins',
    help: 'Origins whose pages may call the server: https://app.company.com, https://*.company.com, @default, * for every origin',
    value: 'ORIGINS',
    schema: LIST,
    default: ['localhost:*'],
    allowed: 'origins (https://app.company.com, https://*.company.com, http://localhost:*), "localhost:*", "@default" for the ' +
      'default list, "null" and "*" for every origin; an array, or a string with commas'
  },
  xFrameOptions: {
    title: 'X-Frame-Options',
    variable: 'MLFLOW_SERVER_X_FRAME_OPTIONS',
    flag: 'x-frame-options',
    help: 'Who may embed the pages, against clickjacking: SAMEORIGIN, DENY or NONE',
    value: 'VALUE',
    schema: { type: 'string' },
    default: 'SAMEORIGIN',
    allowed: '"SAMEORIGIN", "DENY" or "NONE"'
  },
  disableSecurityMiddleware: {
    title: 'Disable security',
    variable: 'MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE',
    flag: 'disable-security-middleware',
    help: 'Turn all checks and headers off',
    schema: SWITCH,
    default: false,
    allowed: 'true or false'
  },
  reportOnly: {
    title: 'Report only',
    flag: 'report-only',
    help: 'Log what would be refused, and let it pass',
    schema: SWITCH,
    default: false,
    allowed: 'true or false'
  },
  healthRoutes: {
    title: 'Health routes',
    flag: 'health-routes',
    help: 'Routes that answer for every Host, for probes',
    value: 'ROUTES',
    schema: LIST,
    default: ['/health', '/version'],
    defaultInWords: '/health, /version',
    allowed: 'route URLs as they are registered ("/health"); an array, or a string with commas'
  },
  frameAncestors: {
    title: 'Frame ancestors',
    flag: 'frame-ancestors',
    help: 'Sites that may embed the pages, in addition to the server itself: https://notebook.company.com',
    value: 'SITES',
    schema: LIST,
    default: [],
    defaultInWords: 'none',
    allowed: 'sites that may embed this one (https://notebook.company.com, https://*.company.com, http://localhost:*); an array, or ' +
      'a string with commas'
  },
  cors: {
    title: 'CORS pass-through',
    schema: { type: 'object', propertyNames: { enum: Object.keys(CORS_OPTIONS) }, properties: CORS_OPTIONS },
    default: {},
    allowed: `an object with the @fastify/cors options ${Object.keys(CORS_OPTIONS).join(', ')}`
  }
} as const satisfies Record<OptionName, Setting>

const settings: Readonly<Record<OptionName, Setting>> = settingsTable

/** The lists whose default has a name: `@default`. */
export type NamedList = 'allowedHosts' | 'corsAllowedOrigins'

/** @returns whether the default list is in force. Then advice to add an entry has to mention `@default`, which keeps the list. */
export function isDefaultList (list: NamedList, entries: readonly string[]): boolean {
  const defaults: readonly string[] = settingsTable[list].default
  return entries.length === defaults.length && defaults.every((entry, i) => entries[i] === entry)
}

/** @returns a row of the table, typed as any setting */
export function settingOf (option: OptionName): Setting {
  return settings[option]
}

export function isOptionName (name: string): name is OptionName {
  return Object.hasOwn(settingsTable, name)
}

export const optionNames: readonly OptionName[] = Object.keys(settingsTable).filter(isOptionName)

export const variableNames: readonly VariableName[] = optionNames.flatMap(option => settings[option].variable ?? [])

/** How messages name a setting: `allowedHosts (MLFLOW_SERVER_ALLOWED_HOSTS)`. */
export function nameOf (option: OptionName): string {
  const { variable } = settings[option]
  return variable === undefined ? option : `${option} (${variable})`
}

/** The settings that MLflow documents, which it reads itself as well. */
export type DocumentedOption = {
  [Option in OptionName]: (typeof settingsTable)[Option] extends { variable: string } ? Option : never
}[OptionName]

/**
 * How messages for people who use the command write a setting: `--allowed-hosts mlflow.lan (MLFLOW_SERVER_ALLOWED_HOSTS)`.
 *
 * @param value - left out, the flag alone
 */
export function flagOf (option: DocumentedOption, value?: string): string {
  const { flag, variable } = settingsTable[option]
  return `--${flag}${value === undefined ? '' : ` ${value}`} (${variable})`
}

/**
 * The JSON schema of the four documented environment variables, for `env-schema` and `@fastify/env`. An app merges its
 * `properties` into its own schema, and passes the whole configuration to the plugin. The plugin checks the values.
 *
 * @example
 * const schema = { type: 'object', properties: { PORT: { type: 'number' }, ...mlflowSecuritySchema.properties } }
 * await fastify.register(fastifyEnv, { schema })
 * await fastify.register(mlflowSecurity, fastify.config)
 */
export const mlflowSecuritySchema = {
  type: 'object',
  properties: Object.fromEntries(optionNames.flatMap(option => {
    const { variable, schema, title, allowed } = settings[option]
    return variable === undefined ? [] : [[variable, { ...schema, description: `${title}: ${allowed}.` }]]
  }))
} as const

/** The JSON schema of all settings, by option. */
export const settingsSchema = {
  type: 'object',
  properties: Object.fromEntries(optionNames.map(option => [option, settings[option].schema]))
}
