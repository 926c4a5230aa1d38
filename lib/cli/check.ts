import type { IncomingHttpHeaders } from 'node:http'
import { createGateway } from '../gateway.js'
import type { GatewayOptions } from '../gateway.js'
import { AmbiguousPathError } from '../gateway/errors.js'
import { isAmbiguous } from '../gateway/ambiguous-path.js'
import { PASSED } from '../gateway/routes.js'
import { parseAuthority } from '../grammar/authority.js'
import { quote } from '../grammar/quote.js'
import { decisionOf } from '../hooks/decision.js'
import { compileHostRules } from '../rules/host-rules.js'
import { splitList } from '../settings/list.js'
import { isDefaultList, settingsTable } from '../settings/table.js'
import { UsageError } from './errors.js'
import type { AllowedRule, Refused, RouteOverride, Settings, Verdict } from '../../types/index.js'

/** The request to decide on. Each field is a header as the request would carry it. */
export interface Question {
  readonly host: string
  readonly origin: string | undefined
  readonly site: string | undefined
  /** Whether the request has a Cookie. */
  readonly cookie?: boolean
  /** Whether the request is known to have come by https. */
  readonly https?: boolean
  readonly method: string
  readonly path: string
}

/** A verdict and what led to it, in words. */
export type Answer = Verdict & {
  /** The rule that decided. */
  readonly explanation: string
  /** The path is a health route: it answers any Host. */
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
  'no-origin': 'no Origin, and nothing says that another site sent it: a client that is not a browser',
  'safe-method': 'a method that changes nothing; CORS headers decide who may read the answer',
  'exempt-route': 'the route lets every Origin write'
}

/**
 * Builds a gateway with these options and asks it, without listening. Wrong options are found as they would be at its start.
 *
 * @throws FST_MLFLOW_SECURITY_INVALID_OPTION, FST_MLFLOW_SECURITY_USAGE
 */
export async function check (options: GatewayOptions, question: Question): Promise<Answer> {
  const method = findMethod(question.method)
  refuseStrangePath(question.path)
  const { settings, verdict, override } = await ask(options, method, question)
  const { reportOnly } = settings
  const anyHost = override.host === false
  return verdict.allowed
    ? { ...verdict, explanation: RULES[verdict.rule], anyHost, hostEntry: hostEntry(settings, question.host), reportOnly }
    : { ...verdict, explanation: explainRefusal(verdict), anyHost, fix: fixOf(verdict, settings, options), reportOnly }
}

interface Asked { readonly settings: Settings, readonly verdict: Verdict, readonly override: RouteOverride }

/** Sends the question through the gateway's router and hooks. A hook answers it, so no request leaves the gateway. */
async function ask (options: GatewayOptions, method: Method, { path, ...question }: Question): Promise<Asked> {
  const gateway = createGateway({
    ...options,
    upstream: options.upstream ?? 'http://127.0.0.1:5000', // nothing has to listen there
    fastify: {
      ...options.fastify,
      logger: false,
      // `inject` would normalise the path, and add a Host if there is none.
      rewriteUrl (raw) {
        raw.headers = headersOf(question)
        Object.assign(raw.socket, { encrypted: question.https === true })
        return path
      }
    }
  })
  gateway.addHook('onRequest', (_request, reply, _done) => { reply.send() })
  const asked = new Promise<Asked>(resolve => {
    gateway.addHook('onSend', async (request) => {
      const decision = decisionOf(request.server)
      resolve({ settings: gateway.mlflowSecurity.settings, verdict: decision.verdictOn(request), override: decision.overrideOf(request) })
    })
  })
  await gateway.inject({ method, url: '/' })
  await gateway.close()
  return await asked
}

function headersOf ({ host, origin, site, cookie }: Omit<Question, 'path'>): IncomingHttpHeaders {
  return {
    host,
    ...(origin === undefined ? {} : { origin }),
    ...(site === undefined ? {} : { 'sec-fetch-site': site }),
    ...(cookie === true ? { cookie: 'session=1' } : {})
  }
}

type Method = typeof PASSED[number]

function findMethod (written: string): Method {
  const asked = written.toUpperCase()
  const method = PASSED.find(method => method === asked)
  if (method === undefined) throw new UsageError(`--method: ${quote(written)} is not passed on. Allowed: ${PASSED.join(', ')}.`)
  return method
}

function refuseStrangePath (path: string): void {
  if (!path.startsWith('/')) throw new UsageError(`--path: ${quote(path)} does not begin with a slash.`)
  if (/[^\x21-\x7e]/.test(path)) throw new UsageError(`--path: ${quote(path)} has characters that a request line cannot have: escape them (%20).`)
  if (/%(?![0-9a-f]{2})/i.test(path.replace(/\?.*$/s, ''))) throw new UsageError(`--path: ${quote(path)} has a "%" that escapes nothing: write %25.`)
  if (isAmbiguous(path)) throw new UsageError(`--path: ${quote(path)}: ${new AmbiguousPathError().message}`)
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

/** The setting as it was given, with the missing entry added: `@default` stays that word. */
function fixOf ({ setting, entry }: Refused, settings: Settings, options: GatewayOptions): string | undefined {
  if (setting === undefined || entry === undefined) return undefined
  const { flag, variable } = settingsTable[setting]
  const given = splitList(options[setting] ?? process.env[variable] ?? '')
  const list = [...(isDefaultList(setting, settings[setting]) ? ['@default'] : given), entry].join(',')
  return `--${flag} '${list}' or ${variable}='${list}'`
}

/** @returns the answer as people read it */
export function inWords (answer: Answer): string {
  const { explanation, anyHost, hostEntry, fix, reportOnly } = answer
  const lines = answer.allowed
    ? [
        'Allowed',
        `Rule: ${explanation}`,
        hostEntry && `Host: matches ${quote(hostEntry)} in allowedHosts`,
        anyHost && 'Path: a health route, which answers for every Host'
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
