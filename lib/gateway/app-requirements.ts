import type { FastifyInstance } from 'fastify'
import { quote } from '../grammar/quote.js'
import { GatewayNotLastError } from './errors.js'
import { isWebSocket } from './upgrade.js'

/** The options that Fastify shows. */
interface Shown { readonly [name: string]: unknown }

const WIDER = 'paths that are not health routes to MLflow are exempt as well'

/** Fastify shows the router's options where the app gave them: at the top, which is deprecated (FSTDEP022), or in `routerOptions`. */
function formsOf (config: Shown): Shown[] {
  return [config, Object(config.routerOptions)]
}

const WANTED: ReadonlyArray<readonly [name: string, isRight: (config: Shown, server: object) => boolean, why: string]> = [
  ['requestTimeout', ({ requestTimeout }) => !(Number(requestTimeout) > 0), 'an upload that takes longer is cut off. Leave it at 0'],
  ['server.requestTimeout', ({ http2 }, server) => http2 !== true || !(Number(Reflect.get(server, 'requestTimeout')) > 0), 'an upload that takes longer is cut off. Set it to 0 on the server, because Fastify sets it only for HTTP/1.1'],
  ['connectionTimeout', ({ connectionTimeout }) => !(Number(connectionTimeout) > 0), 'an answer that pauses longer is cut off. Leave it at 0'],
  ['handlerTimeout', ({ handlerTimeout }) => !(Number(handlerTimeout) > 0), 'an answer that takes longer to begin gets a 503. Leave it at 0'],
  ['caseSensitive', config => !formsOf(config).some(({ caseSensitive }) => caseSensitive === false), `${WIDER}. Leave it at true`],
  ...['ignoreTrailingSlash', 'ignoreDuplicateSlashes', 'useSemicolonDelimiter'].map(name =>
    [name, (config: Shown) => !formsOf(config).some(form => form[name] === true), `${WIDER}. Leave it at false`] as const),
  ['https.allowHTTP1', ({ http2, https }) => http2 !== true || (typeof https === 'object' && https !== null && 'allowHTTP1' in https && https.allowHTTP1 === true), 'WebSockets need HTTP/1.1. Set it to true'],
  ['http.shouldUpgradeCallback', (_config, server) => [undefined, isWebSocket].includes(Reflect.get(server, 'shouldUpgradeCallback')), 'requests that offer h2c take a slower way. createGateway sets it']
]

/** An app made without `createGateway` may lack options that a gateway needs. Options that its server does not show are documented. */
export function warnOfMissing ({ initialConfig, server, log }: FastifyInstance): void {
  const shown: Shown = { ...initialConfig }
  for (const [name, isRight, why] of WANTED) {
    if (!isRight(shown, server)) log.warn({ option: name }, `The server option ${name} is not what a gateway needs: ${why}`)
  }
}

/** A line of `printPlugins()`: `├── @fastify/rate-limit 3 ms`. */
const PLUGIN_LINE = /^([│├└─┬ ]*)(.*?) \d+(\.\d+)? ms$/

/** How that list names what was given to `after()`, which is no plugin. */
const AFTER = 'bound _after'

/**
 * A plugin that acts on routes when they are added, such as a rate limit, does nothing if it is registered after the gateway. No
 * hook tells of plugins that are not encapsulated. So the list that Fastify prints is read.
 *
 * @param tree - `printPlugins()`, in the order of registration
 * @param name - the gateway's own name in it
 * @throws FST_MLFLOW_SECURITY_GATEWAY_NOT_LAST
 * @throws Error if another version of Fastify prints the list in another form
 */
export function refuseLatecomers (tree: string, name: string): void {
  const lines = tree.split('\n').flatMap(line => {
    const [, indent, plugin] = PLUGIN_LINE.exec(line) ?? []
    return indent === undefined || plugin === undefined ? [] : [{ depth: indent.length, plugin }]
  })
  const at = lines.findIndex(({ plugin }) => plugin === name)
  const own = lines[at]
  if (own === undefined) throw new Error('This version of Fastify does not list its plugins as fastify-mlflow-security expects it')
  for (const { depth, plugin } of lines.slice(at + 1)) {
    if (depth < own.depth) return
    if (depth > own.depth || plugin === AFTER) continue
    throw new GatewayNotLastError(`${quote(plugin)} is registered after the gateway, so it cannot act on the gateway's routes. Register the ` +
      'gateway last. With createGateway, register the plugin in `before`: createGateway({ before: async app => { await app.register(…) } }).')
  }
}
