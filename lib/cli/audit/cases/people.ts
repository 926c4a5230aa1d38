import { flagOf, settingsTable } from '../../../settings/table.js'
import type { Case } from '../case.js'
import { describe, isInvalidHost, isSearchResult, judgeNeed } from '../judge.js'

/** Requests that must pass. If they do not, people turn all protection off. */
export const peopleCases: readonly Case[] = [
  {
    id: 'own-address',
    group: 'people',
    promise: 'The server answers to its own address',
    failure: 'The server refuses its own address',
    why: 'The server refuses the name that you use for it, so nobody can use it by that name.',
    fix: ({ target: { authority } }) => `Add it to the hosts: ${flagOf('allowedHosts', authority)}. MLflow needs the port as well. ` +
      "If the gateway is in front, this may be MLflow's own check. Then remove " +
      `${settingsTable.allowedHosts.variable} from MLflow, or add the host and port of --upstream to it.`,
    needs: 'read',
    isRequired: true,
    ask: async (_context, { status }) => ({ verdict: 'held', evidence: String(status) }),
    without: control => isInvalidHost(control) ? { verdict: 'gap', evidence: describe(control) } : undefined
  },
  {
    id: 'own-page',
    group: 'people',
    promise: "The server's own page may write",
    failure: "The server's own page may not write",
    why: 'People can open the UI and look, but each click that changes something fails (mlflow/mlflow#22618). The next thing they do is to ' +
      'turn all protection off.',
    fix: ({ target: { origin } }) => `On MLflow itself: ${flagOf('corsAllowedOrigins', origin)}. The gateway recognises its ` +
      'own page without it. A proxy in front must then pass the Host on with its port (nginx: proxy_set_header Host $http_host).',
    needs: 'read',
    isRequired: true,
    async ask ({ wire, requests, target: { origin } }) {
      return judgeNeed(await wire.send(requests.write({ headers: requests.pageOf(origin) })), isSearchResult)
    }
  },
  {
    id: 'sdk',
    group: 'people',
    promise: 'Scripts and SDKs may write',
    failure: 'Scripts and SDKs may not write',
    why: 'Clients that are not browsers send no Origin. If they are refused, no run is logged.',
    fix: () => 'Let requests without an Origin pass, unless Sec-Fetch-Site says that another site sent them. Does a firewall or a proxy in front refuse them?',
    needs: 'read',
    isRequired: true,
    ask: async ({ controls: { write } }) => judgeNeed(write, isSearchResult)
  }
]
