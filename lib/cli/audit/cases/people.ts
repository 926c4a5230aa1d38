import type { Case } from '../case.js'
import { describe, isInvalidHost, isSearchResult, judgeNeed } from '../judge.js'

/** What has to pass: what breaks people is switched off by them, with everything else. */
export const peopleCases: readonly Case[] = [
  {
    id: 'own-address',
    group: 'people',
    promise: 'The server answers to its own address',
    why: 'the server refuses the name by which you call it: nobody can use it there.',
    fix: ({ target: { authority } }) => `--allowed-hosts ${authority} (MLFLOW_SERVER_ALLOWED_HOSTS), beside the names that are there already.`,
    needs: 'read',
    isRequired: true,
    ask: async (_context, { status }) => ({ verdict: 'held', evidence: String(status) }),
    without: control => isInvalidHost(control) ? { verdict: 'gap', evidence: describe(control) } : undefined
  },
  {
    id: 'own-page',
    group: 'people',
    promise: "The server's own page may write",
    why: 'people open the UI and can look, but each click that changes something fails (mlflow/mlflow#22618). The next thing they do is to ' +
      'switch all protection off.',
    fix: ({ target: { origin } }) => `--cors-allowed-origins ${origin} (MLFLOW_SERVER_CORS_ALLOWED_ORIGINS) on MLflow; the gateway of this package knows its own ` +
      'page without it. A proxy in front has to pass the Host on with its port (nginx: proxy_set_header Host $http_host).',
    needs: 'read',
    isRequired: true,
    ask: async ({ wire, requests, target: { origin } }) => judgeNeed(await wire.send(requests.write({ headers: requests.pageOf(origin) })), isSearchResult)
  },
  {
    id: 'sdk',
    group: 'people',
    promise: 'Scripts and SDKs may write',
    why: 'clients that are no browser send no Origin. Refused, no run is logged.',
    fix: () => 'let requests without an Origin pass where no Sec-Fetch-Site says that another site sent them. Is it a rule of a firewall or a proxy in front?',
    needs: 'read',
    isRequired: true,
    ask: async ({ controls: { write } }) => judgeNeed(write, isSearchResult)
  }
]
