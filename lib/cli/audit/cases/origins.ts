import { flagOf } from '../../../settings/table.js'
import type { Answer, Outcome } from '../answer.js'
import { notApplicable } from '../case.js'
import type { Case, Context } from '../case.js'
import { describe, isSearchResult, isSwitch, judgeAttack, summarise } from '../judge.js'
import type { Judgement } from '../judge.js'
import { lookAlikes, lookAlikesOf } from '../meant.js'

const FORGERY = "Another site's page, open in the browser of somebody who can reach your server, can change anything there."
const READING = "Another site's page, open in the browser of somebody who can reach your server, can read experiments, runs and artifacts."
const EXAMPLE = 'https://app.company.com'

/** One kind of foreign Origin, as it is asked by a write, a preflight and a read. */
interface Kind {
  readonly id: string
  readonly words: string
  readonly isRequired: boolean
  origins (context: Context): readonly string[]
}

const KINDS: readonly Kind[] = [
  { id: 'foreign', words: 'a foreign Origin', isRequired: true, origins: ({ meant: { foreign } }) => [`https://${foreign}`] },
  { id: 'null', words: 'Origin null', isRequired: true, origins: () => ['null'] },
  {
    id: 'look-alike',
    words: "an Origin that looks like the server's own",
    isRequired: false,
    origins: ({ target: { origin }, meant: { foreign } }) => [...lookAlikes(origin, foreign), `http://localhost.${foreign}`]
  },
  {
    id: 'unlisted',
    words: 'an Origin just outside the list',
    isRequired: false,
    // MLflow keeps localhost beside an explicit list.
    origins: ({ meant: { listed, foreign } }) => listed.length === 0
      ? []
      : [...listed.flatMap(entry => lookAlikesOf(entry, foreign)), LOCALHOST]
  }
]

const LOCALHOST = 'http://localhost:3000'

/** Cross-origin requests: another site's page calls the server. */
export const originCases: readonly Case[] = [
  ...KINDS.map(writeCase),
  ...KINDS.map(preflightCase),
  ...KINDS.map(readCase),
  {
    id: 'credentials',
    group: 'origin',
    promise: 'No foreign Origin gets credentials',
    failure: 'A foreign Origin gets credentials',
    why: `With Access-Control-Allow-Credentials, the browser adds the user's cookies and logins. ${READING}`,
    fix: () => 'Send Access-Control-Allow-Credentials only to listed sites, never with *, and never to every Origin that asks: ' +
      `${flagOf('corsAllowedOrigins', EXAMPLE)}. If a proxy in front adds the header, remove its rule.`,
    needs: 'read',
    async ask (context) {
      const origin = `https://${context.meant.foreign}`
      const outcome = await context.wire.send(context.requests.read({ headers: context.requests.pageOf(origin) }))
      if (outcome.kind !== 'answer' || !isSearchResult(outcome)) return judgeAttack(outcome, () => false, context.target.authority)
      const withCredentials = /^true$/i.test(outcome.headers.get('access-control-allow-credentials') ?? '')
      return mayRead(outcome, origin) && withCredentials
        ? { verdict: 'gap', evidence: corsHeaders(outcome) }
        : { verdict: 'held', evidence: String(outcome.status) }
    }
  },
  {
    id: 'foreign-socket',
    group: 'origin',
    promise: 'A WebSocket from a foreign Origin is refused',
    failure: 'A WebSocket from a foreign Origin is opened',
    why: 'Browsers let every page open a WebSocket to every server, with the user\'s cookies. Only the server can refuse it.',
    fix: () => 'Check the Origin of upgrades as you check that of writes. The gateway does.',
    needs: 'read',
    async ask ({ wire, requests, meant: { foreign, anyOrigin }, target: { origin, authority } }) {
      if (anyOrigin) return everyOrigin()
      if (!isSwitch(await wire.send(requests.socket(origin)))) return notApplicable('the server opens no WebSocket at its start page')
      return judgeAttack(await wire.send(requests.socket(`https://${foreign}`)), isSwitch, authority)
    }
  },
  {
    id: 'foreign-http2',
    group: 'origin',
    promise: 'A write from a foreign Origin is refused (HTTP/2)',
    failure: 'A write from a foreign Origin is served (HTTP/2)',
    why: FORGERY,
    fix: nameTheOrigins,
    needs: 'write',
    async ask ({ wire, requests, meant: { foreign, anyOrigin }, target: { authority } }) {
      if (anyOrigin) return everyOrigin()
      if (!await wire.speaksHttp2()) return notApplicable('the server does not offer HTTP/2')
      if (!isSearchResult(await wire.sendHttp2(requests.sdkWrite()))) return { verdict: 'inconclusive', evidence: 'by HTTP/2, a write without an Origin fails' }
      return judgeAttack(await wire.sendHttp2(requests.sdkWrite({ headers: requests.pageOf(`https://${foreign}`) })), isSearchResult, authority)
    }
  },
  {
    id: 'fetch-metadata',
    group: 'origin',
    promise: 'A write with Sec-Fetch-Site: cross-site and no Origin is refused',
    failure: 'A write with Sec-Fetch-Site: cross-site and no Origin is served',
    why: 'Browsers send an Origin with every write, so nobody gets through this way. It is a second line of defence.',
    fix: () => 'The gateway refuses Sec-Fetch-Site: cross-site without an Origin.',
    needs: 'write',
    async ask ({ wire, requests, target: { authority }, meant: { anyOrigin } }) {
      if (anyOrigin) return everyOrigin()
      const outcome = await wire.send(requests.sdkWrite({ headers: [['Sec-Fetch-Site', 'cross-site']] }))
      return asNote(judgeAttack(outcome, isSearchResult, authority))
    }
  },
  {
    id: 'vary',
    group: 'origin',
    promise: 'Answers that differ by Origin say so (Vary)',
    failure: 'Answers that differ by Origin do not say so (Vary)',
    why: 'A shared cache could give the answer for one Origin to another one.',
    fix: () => 'Send Vary: Origin with every answer, as the gateway does.',
    needs: 'read',
    ask: askVary
  }
]

function nameTheOrigins ({ target: { origin } }: Pick<Context, 'target'>): string {
  return 'Turn MLflow\'s check on (3.5 or later, without --disable-security-middleware), and list the allowed sites, including its own ' +
    `address: ${flagOf('corsAllowedOrigins', origin)}, never *. Or use the gateway, which checks every route.`
}

function nameTheReaders (): string {
  return `List the allowed sites: ${flagOf('corsAllowedOrigins', EXAMPLE)}, never *. If a proxy in front ` +
    'adds the CORS headers, remove its rule. If every site may read, tell the audit: --cors-allowed-origins \'*\'.'
}

const everyOrigin = () => notApplicable('every Origin is meant to call: corsAllowedOrigins has "*"')

function writeCase ({ id, words, isRequired, origins }: Kind): Case {
  return {
    id: `${id}-origin`,
    group: 'origin',
    promise: `A write from ${words} is refused`,
    failure: `A write from ${words} is served`,
    why: FORGERY,
    fix: nameTheOrigins,
    needs: 'write',
    ...(isRequired ? { isRequired: true } : {}),
    ask: context => each(context, origins(context), async origin => {
      const { wire, requests, refusals, target: { authority } } = context
      const headers = requests.pageOf(origin)
      const outcomes = [await wire.send(requests.sdkWrite({ headers })), await wire.send(requests.write({ headers }))] as const
      const refusal = outcomes.find(outcome => outcome.kind === 'answer' && outcome.status === 403)
      if (refusal?.kind === 'answer') refusals.set('foreign-origin', refusals.get('foreign-origin') ?? refusal)
      const sdk = judgeAttack(outcomes[0], isSearchResult, authority)
      const page = judgeAttack(outcomes[1], isSearchResult, authority)
      return sdk.verdict === page.verdict ? sdk : summarise([['below /api/', sdk], ['below /ajax-api/', page]])
    })
  }
}

function preflightCase ({ id, words, isRequired, origins }: Kind): Case {
  return {
    id: `${id}-preflight`,
    group: 'origin',
    promise: `A preflight from ${words} gets no permission`,
    failure: `A preflight from ${words} gets permission`,
    why: FORGERY,
    fix: nameTheReaders,
    needs: 'read',
    ...(isRequired ? { isRequired: true } : {}),
    ask: context => each(context, origins(context), async origin => {
      const outcome = await context.wire.send(context.requests.preflight(origin))
      if (outcome.kind !== 'answer' || outcome.status >= 300) return judgeAttack(outcome, () => false, context.target.authority)
      return mayRead(outcome, origin) ? { verdict: 'gap', evidence: corsHeaders(outcome) } : { verdict: 'held', evidence: `${outcome.status} without permission` }
    })
  }
}

function readCase ({ id, words, isRequired, origins }: Kind): Case {
  return {
    id: `${id}-read`,
    group: 'origin',
    promise: `A page from ${words} cannot read answers`,
    failure: `A page from ${words} can read answers`,
    why: READING,
    fix: nameTheReaders,
    needs: 'read',
    ...(isRequired ? { isRequired: true } : {}),
    ask: context => each(context, origins(context), async origin => {
      const outcome = await context.wire.send(context.requests.read({ headers: context.requests.pageOf(origin) }))
      if (!isSearchResult(outcome)) return judgeAttack(outcome, () => false, context.target.authority)
      return { verdict: mayRead(outcome, origin) ? 'gap' : 'held', evidence: corsHeaders(outcome) }
    })
  }
}

async function each (context: Context, origins: readonly string[], ask: (origin: string) => Promise<Judgement>): Promise<Judgement> {
  if (context.meant.anyOrigin) return everyOrigin()
  if (origins.length === 0) return notApplicable('no site is listed to compare with')
  const judged: Array<readonly [string, Judgement]> = []
  for (const origin of origins.filter(origin => !context.meant.allowsOrigin(origin))) judged.push([`Origin ${origin}`, await ask(origin)])
  return judged.length === 0 ? notApplicable('corsAllowedOrigins allows it') : summarise(judged)
}

/** The browser lets a page of this Origin read the answer (the Fetch standard's CORS check). */
function mayRead ({ headers }: Answer, origin: string): boolean {
  const allowed = headers.get('access-control-allow-origin')
  return allowed === origin || allowed === '*'
}

function corsHeaders ({ headers }: Answer): string {
  return ['Access-Control-Allow-Origin', 'Access-Control-Allow-Credentials'].map(name => {
    const value = headers.get(name.toLowerCase())
    return value === undefined ? `no ${name}` : `${name}: ${value}`
  }).join(', ')
}

async function askVary ({ wire, requests, meant: { listed } }: Context): Promise<Judgement> {
  const origin = listed[0]?.sample ?? LOCALHOST
  const outcome: Outcome = await wire.send(requests.read({ headers: requests.pageOf(origin) }))
  if (!isSearchResult(outcome)) return { verdict: 'inconclusive', evidence: `Origin ${origin}: ${describe(outcome)}` }
  const allowed = outcome.headers.get('access-control-allow-origin')
  if (/(^|,)\s*(\*|origin)\s*(,|$)/i.test(outcome.headers.get('vary') ?? '')) return { verdict: 'held', evidence: `Vary: ${outcome.headers.get('vary')}` }
  if (allowed === undefined) return notApplicable(`no CORS headers for ${origin}`)
  return { verdict: 'note', evidence: allowed === '*' ? 'Access-Control-Allow-Origin is * for everyone: nothing differs' : `${corsHeaders(outcome)}, without Vary: Origin` }
}

/** Turns a gap into a note. */
function asNote ({ verdict, evidence }: Judgement): Judgement {
  return { verdict: verdict === 'gap' ? 'note' : verdict, evidence }
}
