import { flagOf } from '../../../settings/table.js'
import type { Outcome } from '../answer.js'
import { notApplicable } from '../case.js'
import type { Case, Context } from '../case.js'
import { isSearchResult, isStartPage, judgeAttack, summarise } from '../judge.js'
import type { Judgement } from '../judge.js'
import type { RawRequest } from '../requests.js'

/** A request under a Host that is not the server's. */
interface Attack {
  /** What it carries, in words. */
  readonly what: string
  readonly host: string
  readonly request: RawRequest
  readonly isServed?: (outcome: Outcome) => boolean
}

const REBINDING = 'A web page makes its own name point at your server. To the browser both are then the same site, so the page can read and write everything.'
const TWO_READERS = 'Two programs in a row may read different hosts from the same request. If one host is checked and the other is served, the attack gets through.'

/** DNS rebinding: the name of another site leads to the server. */
export const hostCases: readonly Case[] = [
  {
    id: 'foreign-host',
    group: 'host',
    promise: 'A foreign Host is refused',
    failure: 'A foreign Host is served',
    why: REBINDING,
    fix: nameTheHosts,
    needs: 'read',
    isRequired: true,
    ask: async context => attack(context, foreignHosts(context), keepRefusal(context))
  },
  {
    id: 'octets-host',
    group: 'host',
    promise: 'A name that begins like a private address is refused',
    failure: 'A name that begins like a private address is served',
    why: `192.168.evil.com is not an address, but a name that anyone can register. ${REBINDING}`,
    fix: ({ target: { authority } }) => 'Do not match addresses as text (192.168.*, 10.*: the default of MLflow up to 3.17). Write out ' +
      `every name and address: --allowed-hosts ${authority}. The gateway compares addresses as addresses.`,
    needs: 'read',
    isRequired: true,
    ask: context => unlessAnyHost(context, octets(context).map(host => byHost(context, host)))
  },
  {
    id: 'malformed-host',
    group: 'host',
    promise: 'A Host with userinfo or "#" in it is refused',
    failure: 'A Host with userinfo or "#" in it is served',
    why: `A pattern such as localhost:* or *.company.com also matches text that names another host. ${TWO_READERS}`,
    fix: ({ target: { authority } }) => `Where Hosts are compared as text, use no wildcards: --allowed-hosts ${authority}. The gateway refuses such a Host with 400.`,
    needs: 'read',
    ask: context => unlessAnyHost(context, malformed(context).map(host => byHost(context, host)))
  },
  {
    id: 'doubled-host',
    group: 'host',
    promise: 'A request with two Hosts is refused',
    failure: 'A request with two Hosts is served',
    why: TWO_READERS,
    fix: () => 'Refuse it with 400, as the RFC requires. The gateway does, and so does nginx in front.',
    needs: 'read',
    async ask (context) {
      const { target: { authority }, meant: { foreign }, requests } = context
      const inOrder = [[authority, foreign], [foreign, authority]]
      return unlessAnyHost(context, inOrder.map(hosts => ({ what: `Hosts ${hosts.join(' and ')}`, host: foreign, request: requests.read({ hosts }) })))
    }
  },
  {
    id: 'absolute-form',
    group: 'host',
    promise: 'A request line that names another host is refused',
    failure: 'A request line that names another host is served',
    why: `The host in the request line counts, and the Host header does not (RFC 9112 §3.2.2). ${TWO_READERS}`,
    fix: () => 'The gateway refuses it with 400. In nginx, give the server its server_name, and refuse all other names with a default_server that has return 444.',
    needs: 'read',
    async ask (context) {
      const { meant: { foreign }, requests } = context
      return unlessAnyHost(context, [{ what: `GET http://${foreign}/…`, host: foreign, request: requests.read({ absolute: `http://${foreign}` }) }])
    }
  },
  {
    id: 'forwarded-host',
    group: 'host',
    promise: 'X-Forwarded-Host does not make up for a foreign Host',
    failure: 'X-Forwarded-Host makes up for a foreign Host',
    why: 'A page can write that header itself. A rebound page would name your server in it, and pass.',
    fix: () => 'Make the proxy in front overwrite X-Forwarded-Host and drop X_Forwarded_Host (nginx: underscores_in_headers off). Make the server ' +
      'trust only that proxy (--trust-proxy ADDRESS). The Host itself must be allowed all the same.',
    needs: 'read',
    async ask (context) {
      const { target: { authority }, meant: { foreign }, requests } = context
      return unlessAnyHost(context, ['X-Forwarded-Host', 'X_Forwarded_Host'].map(name => (
        { what: `${name}: ${authority}`, host: foreign, request: requests.read({ hosts: [foreign], headers: [[name, authority]] }) }
      )))
    }
  },
  {
    id: 'health-exemption',
    group: 'host',
    promise: 'Only health routes are served under a foreign Host',
    failure: 'More than the health routes is served under a foreign Host',
    why: `Probes may request /health with any Host. If a path that only looks like it passes too, so does everything else. ${REBINDING}`,
    fix: () => 'Exempt /health and /version only by the exact path that was sent, and only for GET and HEAD. nginx\'s "location = /health" also matches ' +
      '/api/…/..%2f..%2fhealth, and passes that on.',
    needs: 'read',
    ask: askHealth
  },
  {
    id: 'authority-http2',
    group: 'host',
    promise: 'A foreign :authority is refused (HTTP/2)',
    failure: 'A foreign :authority is served (HTTP/2)',
    why: REBINDING,
    fix: nameTheHosts,
    needs: 'read',
    async ask (context) {
      const { wire, requests, meant } = context
      if (meant.allowsHost(meant.foreign)) return everyHost()
      if (!await wire.speaksHttp2()) return notApplicable('the server does not offer HTTP/2')
      if (!isSearchResult(await wire.sendHttp2(requests.read()))) return { verdict: 'inconclusive', evidence: 'by HTTP/2, the server does not answer even to its own address' }
      return judgeAttack(await wire.sendHttp2(requests.read({ hosts: [meant.foreign] })), isSearchResult, meant.foreign)
    }
  }
]

function nameTheHosts ({ target: { authority } }: Pick<Context, 'target'>): string {
  return `Name the hosts: ${flagOf('allowedHosts', authority)} on MLflow, without --disable-security-middleware, or on the ` +
    'gateway. A proxy in front must pass the Host on unchanged (nginx: proxy_set_header Host $http_host), or refuse other names itself ' +
    '(nginx: a default_server with return 444).'
}

const everyHost = () => notApplicable('every Host is meant to pass: allowedHosts has "*"')

function byHost ({ requests }: Context, host: string): Attack {
  return { what: `Host ${host}`, host, request: requests.read({ hosts: [host] }) }
}

function foreignHosts (context: Context): Attack[] {
  const { target, meant: { foreign }, requests, controls } = context
  const changes = { hosts: [foreign] }
  return [
    byHost(context, foreign),
    ...(target.host.kind === 'name' ? [byHost(context, `${target.host.host}.${foreign}`)] : []),
    ...(isSearchResult(controls.write) ? [{ what: `POST with Host ${foreign}`, host: foreign, request: requests.sdkWrite(changes) }] : []),
    ...(isStartPage(controls.page) ? [{ what: `start page with Host ${foreign}`, host: foreign, request: requests.page(changes), isServed: isStartPage }] : [])
  ]
}

function octets ({ target: { host }, meant: { foreign } }: Context): string[] {
  return [`10.${foreign}`, `192.168.${foreign}`, `172.16.${foreign}`, ...(host.kind === 'ipv4' ? [`${host.host}.${foreign}`] : [])]
}

function malformed ({ target: { authority, host }, meant: { foreign } }: Context): string[] {
  const localhost = `localhost:1@${foreign}`
  return [`${authority}@${foreign}`, localhost, ...(host.kind === 'name' ? [`${foreign}#.${host.host}`] : [])]
}

async function unlessAnyHost (context: Context, attacks: readonly Attack[]): Promise<Judgement> {
  const verdict = context.verdicts.get('foreign-host')
  // One setting closes the gap, so it is reported once.
  if (verdict === 'gap' || verdict === 'note') return notApplicable('any Host passes, see "A foreign Host is refused"')
  return attack(context, attacks)
}

async function attack (context: Context, attacks: readonly Attack[], look = (_outcome: Outcome): void => {}): Promise<Judgement> {
  const foreign = attacks.filter(({ host }) => !context.meant.allowsHost(host))
  if (foreign.length === 0) return everyHost()
  const judged: Array<readonly [string, Judgement]> = []
  for (const { what, host, request, isServed = isSearchResult } of foreign) {
    const outcome = await context.wire.send(request)
    look(outcome)
    judged.push([what, judgeAttack(outcome, isServed, host)])
  }
  return summarise(judged)
}

/** Keeps the first refusal, because a later case looks at its headers. */
function keepRefusal ({ refusals }: Context): (outcome: Outcome) => void {
  return outcome => {
    if (outcome.kind === 'answer' && outcome.status >= 400 && outcome.status < 500 && !refusals.has('foreign-host')) refusals.set('foreign-host', outcome)
  }
}

const API = 'ajax-api/2.0/mlflow/experiments/search?max_results=1'
const ARTIFACTS = '/api/2.0/mlflow-artifacts/artifacts/..%2f..%2f..%2f..%2fhealth'
/** Some programs read these as a health route, others as the API. */
const POISONED = [
  `/health/../${API}`, `/health/%2e%2e/${API}`, `/health/..%2f${API}`, `/health;/../${API}`, `/${API}&x=/health`, `//health/../${API}`
]

async function askHealth (context: Context): Promise<Judgement> {
  const { meant: { foreign }, requests, wire } = context
  const changes = { hosts: [foreign] }
  const judged = await unlessAnyHost(context, POISONED.map(path => ({ what: path, host: foreign, request: requests.get(path, changes) })))
  if (judged.verdict !== 'held') return judged
  const own = ownErrorOf(await wire.send(requests.get(ARTIFACTS)))
  if (own === undefined) return judged
  return ownErrorOf(await wire.send(requests.get(ARTIFACTS, changes))) === own ? { verdict: 'gap', evidence: `${ARTIFACTS}: answered by MLflow itself` } : judged
}

/** @returns MLflow's own error for a path that a check in front might have read differently; `undefined` for a refusal */
function ownErrorOf (outcome: Outcome): string | undefined {
  if (outcome.kind !== 'answer' || (outcome.status !== 400 && outcome.status !== 404)) return undefined
  const [, code] = /^\{"error_code": ?"([A-Z_]+)"/.exec(outcome.body) ?? []
  // The gateway's refusals have an error_code as well.
  return code === undefined || outcome.body.includes('"statusCode"') ? undefined : `${outcome.status} ${code}`
}
