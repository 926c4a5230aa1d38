import Fastify from 'fastify'
import { parseAuthority } from '../grammar/authority.js'
import { AmbiguousPathError, UsageError } from '../settings/errors.js'
import { compileFrameAncestors } from '../rules/frame-ancestors.js'
import { createGateway } from '../gateway.js'
import type { GatewayOptions } from '../gateway.js'
import { METHODS, healthRoutes, resolvePrefix } from '../gateway/options.js'
import { isAmbiguous } from '../gateway/path.js'
import { compileHostRules } from '../rules/host-rules.js'
import { createPolicy } from '../policy/policy.js'
import { quote } from '../grammar/quote.js'
import { flags, variables } from '../settings/schema.js'
import { resolveSettings } from '../settings/settings.js'
import type { AllowedRule, MlflowSecurityOptions, Refused, Settings, Verdict } from '../../types/index.js'

/** The request that is asked about, as its headers would stand in it. */
export interface Question {
  readonly host: string
  readonly origin: string | undefined
  readonly site: string | undefined
  readonly method: string
  readonly path: string
}

/** A verdict and what led to it, in words. */
export type Answer = Verdict & {
  /** What decided. */
  readonly explanation: string
  /** The path is a health route, which answers whatever the Host. */
  readonly anyHost: boolean
  /** The entry of `allowedHosts` that the Host matches. */
  readonly hostEntry?: string | undefined
  /** What to add to the command line. */
  readonly fix?: string | undefined
  readonly reportOnly: boolean
}

const RULES: Readonly<Record<AllowedRule, string>> = {
  disabled: 'security is disabled (disableSecurityMiddleware)',
  'any-origin': 'every Origin may write (corsAllowedOrigins has "*")',
  'listed-origin': 'the Origin is in corsAllowedOrigins',
  'own-page': "the Origin is the server's own",
  'no-origin': 'no Origin, and nothing says that another site sent it: a client that is no browser',
  'safe-method': 'a method that changes nothing; CORS headers decide who may read the answer',
  'exempt-route': 'the route lets every Origin write'
}

/**
 * Decides on a request as the gateway would.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_USAGE
 */
export async function check (options: MlflowSecurityOptions, staticPrefix: string | undefined, question: Question): Promise<Answer> {
  const settings = resolveSettings({ healthRoutes: healthRoutes(resolvePrefix(staticPrefix)), ...options }, process.env)
  compileFrameAncestors(settings.frameAncestors)
  const { path, host, origin, site } = question
  const asked = question.method.toUpperCase()
  const method = METHODS.find(method => method === asked)
  if (method === undefined) throw new UsageError(`--method: ${quote(question.method)} is not passed on. Allowed: ${METHODS.join(', ')}.`)
  refuseStrangePath(path)

  const anyHost = await matchesRoute(settings.healthRoutes, method, path)
  const headers = { host, ...(origin === undefined ? {} : { origin }), ...(site === undefined ? {} : { 'sec-fetch-site': site }) }
  const request = { method, url: path, headers }
  const verdict = createPolicy(settings).inspect(request, undefined, { host: anyHost, origin: false })
  const { reportOnly } = settings
  return verdict.allowed
    ? { ...verdict, explanation: RULES[verdict.rule], anyHost, hostEntry: hostEntry(settings, host), reportOnly }
    : { ...verdict, explanation: explainRefusal(verdict), anyHost, fix: fixOf(verdict, settings), reportOnly }
}

/**
 * The settings that no verdict hangs on: a command line that passes here has to start the gateway as well.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION
 */
export function refuseWrongGateway (options: GatewayOptions): void {
  createGateway({ ...options, upstream: options.upstream ?? 'http://127.0.0.1:5000' }) // it does not have to be there
}

function refuseStrangePath (path: string): void {
  if (!path.startsWith('/')) throw new UsageError(`--path: ${quote(path)} does not begin with a slash.`)
  if (/[^\x21-\x7e]/.test(path)) throw new UsageError(`--path: ${quote(path)} has characters that a request line does not carry: escape them (%20).`)
  if (/%(?![0-9a-f]{2})/i.test(path.replace(/\?.*$/s, ''))) throw new UsageError(`--path: ${quote(path)} has a "%" that escapes nothing: write %25.`)
  if (isAmbiguous(path)) throw new UsageError(`--path: ${quote(path)}: ${new AmbiguousPathError().message}`)
}

/** Asks the router that the gateway has. */
async function matchesRoute (routes: readonly string[], method: typeof METHODS[number], path: string): Promise<boolean> {
  const app = Fastify({ rewriteUrl: () => path }) // `inject` would tidy the path up
  for (const url of new Set(routes)) app.route({ method: [...METHODS], url, handler: async () => 'ok' })
  return (await app.inject({ method, url: '/' })).statusCode === 200
}

function hostEntry ({ allowedHosts, disableSecurityMiddleware }: Settings, host: string): string | undefined {
  const authority = parseAuthority(host)
  if (authority === undefined || disableSecurityMiddleware) return undefined
  return allowedHosts.find(entry => compileHostRules([entry]).allows(authority))
}

function explainRefusal ({ check, statusCode }: Refused): string {
  if (check === 'origin') return 'the Origin is neither in corsAllowedOrigins nor the server\'s own'
  return statusCode === 400 ? 'the Host is malformed' : 'the Host is not in allowedHosts'
}

/** The setting as it is, with the entry that is missing. */
function fixOf ({ setting, entry }: Refused, settings: Settings): string | undefined {
  if (setting === undefined || entry === undefined) return undefined
  const given = resolveSettings({}, {})[setting].join() === settings[setting].join() ? ['@default'] : settings[setting]
  const list = [...given, entry].join(',')
  return `--${flags[setting]} '${list}' or ${variables[setting]}='${list}'`
}

/** @returns the answer as people read it */
export function inWords (answer: Answer): string {
  const { explanation, anyHost, hostEntry, fix, reportOnly } = answer
  const lines = answer.allowed
    ? [
        'Allowed',
        `Rule: ${explanation}`,
        hostEntry && `Host: matches ${quote(hostEntry)} in allowedHosts`,
        anyHost && 'Path: a health route, which answers whatever the Host'
      ]
    : [
        `Refused: ${answer.statusCode} ${answer.code}`,
        `Rule: ${explanation}`,
        `Why:  ${answer.message}`,
        fix && `Fix:  ${fix}`,
        reportOnly && 'Note: reportOnly is on: the gateway logs it and lets it pass'
      ]
  return lines.filter(line => line).join('\n')
}
