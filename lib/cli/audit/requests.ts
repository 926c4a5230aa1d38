import { randomBytes } from 'node:crypto'
import type { Header, Target } from './target.js'

/** A request as it is sent, with its header lines in this order. */
export interface RawRequest {
  readonly method: 'GET' | 'OPTIONS' | 'POST'
  readonly target: string
  readonly headers: readonly Header[]
  readonly body: string
}

/** What a case changes in a request. Left out: as a script sends it. */
export interface Changes {
  /** The Host lines. */
  readonly hosts?: readonly string[]
  /** What comes before the path: `http://host` for the absolute form. */
  readonly absolute?: string
  readonly headers?: readonly Header[]
}

const USER_AGENT = 'fastify-mlflow-security-audit'
const API = '2.0/mlflow'
const READ = `/ajax-api/${API}/experiments/search`

/** The requests of an audit. All of them read. */
export interface Requests {
  /** The start page. */
  page (changes?: Changes): RawRequest
  /** A read of the server's own page. */
  read (changes?: Changes): RawRequest
  /** A path that reads something only if a program on the way rewrites it. */
  get (path: string, changes?: Changes): RawRequest
  /** A write of the server's own page, as the server's checks see it: a POST that only searches. */
  write (changes?: Changes): RawRequest
  /** The same from an SDK. */
  sdkWrite (changes?: Changes): RawRequest
  /** The preflight that a browser sends before another site's page may write. */
  preflight (origin: string): RawRequest
  socket (origin: string): RawRequest
  /** The headers that a browser adds to a request from a page of this Origin. */
  pageOf (origin: string): Header[]
}

export function createRequests ({ authority, base, headers: own, origin: ownOrigin, sendsFetchMetadata }: Target): Requests {
  function build (method: RawRequest['method'], path: string, { hosts = [authority], absolute = '', headers = [] }: Changes, body = ''): RawRequest {
    return {
      method,
      target: `${absolute}${base}${path}`,
      headers: [
        ...hosts.map((host): Header => ['Host', host]), ['User-Agent', USER_AGENT], ['Accept', '*/*'], ['Accept-Encoding', 'identity'], ...headers,
        ...(body === '' ? [] : [['Content-Type', 'application/json'], ['Content-Length', String(body.length)]] as const),
        ...(headers.some(([name]) => name === 'Connection') ? [] : [['Connection', 'close'] as const])
      ],
      body
    }
  }

  const withOwn = ({ headers = [], ...changes }: Changes): Changes => ({ ...changes, headers: [...own, ...headers] })
  const get = (path: string, changes: Changes = {}) => build('GET', `${path}${path.includes('?') ? '&' : '?'}audit=${random()}`, withOwn(changes))
  const post = (path: string, body: object, changes: Changes = {}) => build('POST', path, withOwn(changes), JSON.stringify(body))
  const site = (origin: string): Header[] => sendsFetchMetadata ? [['Sec-Fetch-Site', origin === ownOrigin ? 'same-origin' : 'cross-site']] : []
  const pageOf = (origin: string): Header[] => [
    ['Origin', origin], ...(origin === 'null' ? [] : [['Referer', `${origin}/`] as const]), ...site(origin)
  ]

  return {
    page: changes => get('/', changes),
    read: changes => get(`${READ}?max_results=1`, changes),
    get,
    write: changes => post(READ, { max_results: 1 }, changes),
    sdkWrite: changes => post(`/api/${API}/runs/search`, { experiment_ids: ['0'], max_results: 1 }, changes),
    // Browsers send no login with a preflight.
    preflight: origin => build('OPTIONS', READ, {
      headers: [['Origin', origin], ['Access-Control-Request-Method', 'POST'], ['Access-Control-Request-Headers', 'content-type'], ...site(origin)]
    }),
    // Chromium sends no Sec-Fetch-Site here.
    socket: origin => get('/', {
      headers: [
        ['Origin', origin], ['Connection', 'Upgrade'], ['Upgrade', 'websocket'], ['Sec-WebSocket-Version', '13'],
        ['Sec-WebSocket-Key', randomBytes(16).toString('base64')]
      ]
    }),
    pageOf
  }
}

/** A random query: no cache has an answer for it, and nobody else will ask for the one that it stores. */
export function random (): string {
  return randomBytes(8).toString('hex')
}
