import type { IncomingHttpHeaders } from 'node:http'
import { mayLackHeaders } from '../../grammar/header-limit.js'
import type { RequestHead } from '../../../types/index.js'

/** How an engine says which request it asks about. HAProxy's script speaks nginx's dialect. */
export const DIALECTS = ['nginx', 'caddy', 'traefik', 'envoy'] as const

export type Dialect = typeof DIALECTS[number]

/** The headers of a sub-request that carry the original request. Envoy needs none: its sub-request is the request itself. */
interface Carriers { readonly method: string, readonly host: string, readonly url: string }

const FORWARDED: Carriers = { method: 'X-Forwarded-Method', host: 'X-Forwarded-Host', url: 'X-Forwarded-Uri' }

const CARRIERS: Readonly<Record<Dialect, Carriers | undefined>> = {
  nginx: { method: 'X-Original-Method', host: 'X-Original-Host', url: 'X-Original-URI' },
  caddy: FORWARDED,
  traefik: FORWARDED,
  envoy: undefined
}

/** The facts that the policy decides on. */
export interface Head extends RequestHead {
  readonly method: string
  readonly url: string
}

/** The request that an engine asks about, or why it is unknown. */
export type Question =
  | { readonly head: Head, readonly problem: undefined }
  | { readonly head: undefined, readonly problem: string }

/** A sub-request, as Node's server has it. */
export interface SubRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
}

/** Creates the function that reads an engine's sub-requests. Only its own dialect's headers count: clients can send the others. */
export function createReader (dialect: Dialect): (request: SubRequest) => Question {
  const carriers = CARRIERS[dialect]
  if (carriers === undefined) {
    return request => tooMany(request) ?? found(request.method, request.url, originalHeaders(request.headers))
  }
  const names = Object.values(carriers).map(name => name.toLowerCase())

  return request => {
    const problem = tooMany(request) ?? describeCarriers(request, names, carriers)
    if (problem !== undefined) return problem
    const { headers } = request
    const [method, host, url] = names.map(name => String(headers[name]))
    const original = originalHeaders(headers)
    // Caddy sends the original Host as well. Both must be allowed, because a private peer can write X-Forwarded-Host.
    if (dialect === 'caddy') original['x-forwarded-host'] = host
    else original.host = host
    return found(method, url, original)
  }
}

function found (method = '', url = '', headers: IncomingHttpHeaders): Question {
  return { head: { method, url, headers }, problem: undefined }
}

function refuse (problem: string): Question {
  return { head: undefined, problem }
}

function tooMany (request: SubRequest): Question | undefined {
  return mayLackHeaders(request) ? refuse('The request has 1000 headers or more.') : undefined
}

/** Each header that carries the request has to come once, with a value. @returns what is wrong with them */
function describeCarriers ({ headers, rawHeaders }: SubRequest, names: readonly string[], carriers: Carriers): Question | undefined {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (names.includes(String(rawHeaders[i]).toLowerCase())) count++
  }
  const missing = Object.values(carriers).find(name => !headers[name.toLowerCase()])
  if (missing === carriers.host) return refuse(`There is no ${missing}: the client sent no Host, or the engine is not configured to pass it on.`)
  if (missing !== undefined) return refuse(`There is no ${missing}: the engine is not configured to send it.`)
  if (count > names.length) return refuse(`One of these headers came twice: ${Object.values(carriers).join(', ')}.`)
  return undefined
}

/** Leaves out X-Forwarded-Proto: TLS may end before the engine. X-Forwarded-For stays, for the log. */
function originalHeaders (headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const original = { ...headers }
  delete original['x-forwarded-host']
  delete original['x-forwarded-proto']
  // nginx and Traefik drop Upgrade, because it is a hop-by-hop header.
  if (original['sec-websocket-key'] !== undefined) original.upgrade ??= 'websocket'
  return original
}
