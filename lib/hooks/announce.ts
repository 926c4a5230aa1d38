import type { FastifyInstance } from 'fastify'
import { isLoopback } from '../grammar/authority.js'
import type { Policy } from '../policy/policy.js'
import { warnOfOpenWildcards } from '../rules/wildcards.js'
import type { Wildcard } from '../rules/wildcards.js'
import type { Compiled } from './compile.js'
import { nameOf } from '../settings/table.js'
import type { Settings } from '../../types/index.js'

const DISABLED = `Security is disabled by ${nameOf('disableSecurityMiddleware')}: ` +
  'no Host or Origin is checked, no header is set'
const REPORT_ONLY = 'reportOnly is on: requests that should be refused are logged, and pass'

const EVERY_PATH = 'healthRoutes has "/*": everything that this route serves is served for every Host'

const EVERYONE_FRAMES = `${nameOf('xFrameOptions')} is NONE without frameAncestors: every site may embed the pages`

/** Logs at start which settings are in force, and warns about dangerous ones. */
export async function announce (root: FastifyInstance, settings: Settings, { policy, wildcards }: Compiled): Promise<void> {
  for (const warning of await warningsOf(settings, policy, wildcards)) root.log.warn(warning)
  if (!settings.disableSecurityMiddleware) root.log.info({ mlflowSecurity: settings }, 'fastify-mlflow-security is on')
  if (!policy.validatesHost) root.addHook('onListen', done => { warnWhenExposed(root); done() })
}

async function warningsOf (settings: Settings, policy: Policy, wildcards: readonly Wildcard[]): Promise<string[]> {
  const { disableSecurityMiddleware, healthRoutes, reportOnly, xFrameOptions, frameAncestors } = settings
  if (disableSecurityMiddleware) return [DISABLED]
  return [
    ...policy.warnings,
    ...await warnOfOpenWildcards(wildcards),
    ...(xFrameOptions === 'NONE' && frameAncestors.length === 0 ? [EVERYONE_FRAMES] : []),
    ...(healthRoutes.includes('/*') ? [EVERY_PATH] : []),
    ...(reportOnly ? [REPORT_ONLY] : [])
  ]
}

/** Without host validation, everyone who reaches the address reaches the server, and so do the pages in their browsers. */
function warnWhenExposed (root: FastifyInstance): void {
  const exposed = root.addresses()
    .flatMap(address => typeof address === 'string' ? [] : address.address) // a string is the path of a Unix socket
    .filter(address => !isLoopback(address))
  if (exposed.length > 0) root.log.warn({ addresses: exposed }, `Listening on ${exposed.join(', ')} without host validation`)
}
