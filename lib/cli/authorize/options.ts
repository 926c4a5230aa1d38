import { resolvePrefix, withoutPrefix } from '../../gateway/static-prefix.js'
import { quote } from '../../grammar/quote.js'
import { splitList } from '../../settings/list.js'
import { settingsTable } from '../../settings/table.js'
import { authorizeFlags } from '../flags.js'
import { parseListenAddress } from '../listen-address.js'
import { settingOptions } from '../options.js'
import type { ListenAddress } from '../listen-address.js'
import { UsageError } from '../errors.js'
import type { AuthorizeOptions } from './app.js'
import { DIALECTS } from './question.js'
import type { Dialect } from './question.js'

/** The flags of `authorize` as `util.parseArgs` returns them. Those of the settings come from the table. */
interface AuthorizeValues {
  readonly [flag: string]: unknown
  readonly dialect?: string | undefined
  readonly host?: string | undefined
  readonly port?: string | undefined
  readonly 'health-routes'?: string[] | undefined
  readonly 'static-prefix'?: string | undefined
}

/** @throws FST_MLFLOW_SECURITY_USAGE, FST_MLFLOW_SECURITY_INVALID_OPTION for a wrong static prefix */
export function authorizeOptions (
  values: AuthorizeValues, log: AuthorizeOptions['log']
): { readonly options: AuthorizeOptions, readonly listen: ListenAddress } {
  const staticPrefix = resolvePrefix(values['static-prefix'])
  return {
    options: {
      dialect: parseDialect(values.dialect),
      staticPrefix,
      healthRoutes: parseHealthRoutes(values['health-routes'], staticPrefix),
      security: settingOptions(values),
      log
    },
    listen: parseListenAddress(values, authorizeFlags)
  }
}

function parseDialect (value: string | undefined): Dialect {
  const allowed = `Allowed: ${DIALECTS.join(', ')}. For HAProxy, use nginx.`
  if (value === undefined) throw new UsageError(`authorize needs --dialect ENGINE. ${allowed}`)
  const dialect = DIALECTS.find(dialect => dialect === value.toLowerCase())
  if (dialect === undefined) throw new UsageError(`--dialect: ${quote(value)} is not a dialect. ${allowed}`)
  return dialect
}

/** Given as MLflow names them, served below its prefix. Raw paths are compared, so patterns and escapes are not allowed. */
function parseHealthRoutes (lists: readonly string[] = settingsTable.healthRoutes.default, prefix: string): string[] {
  const routes = splitList(lists)
  const wrong = routes.find(route => !/^(\/(?!\.+(\/|$))[A-Za-z0-9._~-]+)+$/.test(route))
  if (wrong === undefined) return routes.map(route => prefix + withoutPrefix(route, prefix))
  throw new UsageError(`--health-routes: ${quote(wrong)} is not an exact path. ` +
    'Allowed: /health, /api/health; without a query, escapes, patterns or a trailing slash.')
}
