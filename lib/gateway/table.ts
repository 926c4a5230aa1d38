import { nameWith } from '../settings/errors.js'
import type { OptionDescription } from '../settings/errors.js'
import type { MlflowSecurityOptions } from '../../types/index.js'
import type { GatewayPluginOptions } from './options.js'

/** The gateway's own options. */
export type OwnOption = Exclude<keyof GatewayPluginOptions, keyof MlflowSecurityOptions>

/** The facts about an option of the gateway, and its flag as `util.parseArgs` takes it. */
interface OwnSetting {
  readonly flag: string
  readonly type: 'string'
  readonly multiple?: true
  /** The placeholder for the value on the help page. */
  readonly value: string
  /** The flag's text on the help page. */
  readonly help: string
  readonly variable?: string
  /** The default in words, for the help page. */
  readonly byDefault?: string
  /** What is allowed, in the words of messages. */
  readonly allowed: string
}

/** The gateway's own options. (`lib/settings/table.ts` has those of the plugin.) */
export const gatewayTable = {
  upstream: {
    flag: 'upstream',
    type: 'string',
    value: 'URL',
    help: 'The MLflow server to protect: http://127.0.0.1:5000',
    variable: 'MLFLOW_TRACKING_URI',
    allowed: 'the URL of an MLflow server, http://127.0.0.1:5000 or https://mlflow.internal/path'
  },
  staticPrefix: {
    flag: 'static-prefix',
    type: 'string',
    value: '/PATH',
    help: 'The --static-prefix that the MLflow server has',
    allowed: 'the --static-prefix of mlflow server, with a leading slash and without a trailing one: /mlflow'
  },
  upstreamTimeout: {
    flag: 'upstream-timeout',
    type: 'string',
    value: 'SECONDS',
    help: 'Seconds to the first byte of an answer. Bodies have no limit.',
    byDefault: 'no limit',
    allowed: 'seconds, 0 for no limit, at most 86400'
  },
  upstreamCa: {
    flag: 'upstream-ca',
    type: 'string',
    value: 'FILE',
    help: 'Certificates in PEM to trust if the upstream is https',
    allowed: 'certificates in PEM'
  },
  callbackPaths: {
    flag: 'callback-paths',
    type: 'string',
    multiple: true,
    value: 'PATHS',
    help: 'Paths to which an identity provider\'s page may post a login form from its own site: /callback',
    byDefault: 'none',
    allowed: 'paths as a request has them, without escapes, not below /api or /ajax-api: /callback'
  }
} as const satisfies Record<OwnOption, OwnSetting>

const rows: Readonly<Record<OwnOption, OwnSetting>> = gatewayTable

export function isOwn (name: string): name is OwnOption {
  return Object.hasOwn(gatewayTable, name)
}

export const ownOptionNames: readonly OwnOption[] = Object.keys(gatewayTable).filter(isOwn)

/** How the messages of an option name it: `upstream (MLFLOW_TRACKING_URI, --upstream)`. */
export function describeOwn (option: OwnOption): OptionDescription {
  const { variable, flag, allowed } = rows[option]
  return { name: nameWith(option, variable, flag), allowed }
}

/** How messages for people who use the command name the upstream. */
export const UPSTREAM_NAME = `--${gatewayTable.upstream.flag} (${gatewayTable.upstream.variable})`
