import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Dispatcher } from 'undici'
import { originForm } from '../grammar/request-target.js'
import { addTrailers, breakOff, flushHead, isHttp2, writeHead, writeInterim } from './answer.js'
import type { Head } from './answer.js'
import type { UpstreamClient } from './upstream-client.js'
import { UpstreamTimeoutError, UpstreamUnreachableError } from './errors.js'
import { codeOf, explainFailure } from './explain-failure.js'
import { joinSockets } from './join-sockets.js'
import { observersOf } from './observers.js'
import { toUpstream } from './request-headers.js'
import type { RequestRules } from './request-headers.js'
import { toClient, toHintsOrTrailers } from './response-headers.js'
import type { AnswerRules } from './response-headers.js'
import { isFromTrustedProxy } from './trusted-proxy.js'
import { awaitTurn, isGone } from './client-gone.js'
import { ClientGoneError, Upload, bringsBody } from './upload.js'
import { upgradeOf } from './upgrade.js'
import type { FrameOptions } from '../../types/index.js'

/** The things that all exchanges of a gateway share. */
export interface ExchangeContext extends RequestRules, AnswerRules {
  readonly client: UpstreamClient
  /** Milliseconds for the answer to an upgrade, so that there is a limit even if the upstream has none. */
  readonly upgradeTimeout: number
  /** The last request got no answer, so the next answer gets a log line. */
  isDown: boolean
  /** Receives the body of an upstream's 403. */
  advise (body: Uint8Array): void
}

type Controller = Dispatcher.DispatchController

/** Idempotent methods: their requests may be sent twice (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])

/**
 * One request to the upstream, and its answer. The reply stays Fastify's until the upstream has answered, so earlier errors go
 * through the app's error handlers.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #context: ExchangeContext
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #frameOptions: FrameOptions | undefined
  #upload: Upload | undefined
  #controller: Controller | undefined
  #head: Head | undefined
  /** The first piece of the body, while the head is held. */
  #held: Buffer | undefined
  /** The client sees the end of the answer by its length or its last chunk. Otherwise only the end of the connection shows it. */
  #showsItsEnd = true
  #isFlushed = false
  #isStarted = false
  #isRepeated = false
  /** The upstream's answer has ended. */
  #isOver = false
  #isGone = false

  /** @param frameOptions - those of the request's route, if it has its own */
  constructor (context: ExchangeContext, request: FastifyRequest, reply: FastifyReply, frameOptions: FrameOptions | undefined) {
    this.#context = context
    this.#request = request
    this.#reply = reply
    this.#frameOptions = frameOptions
  }

  start (): void {
    const { raw } = this.#reply
    // The client may have hung up while a hook was waiting, for example for a login.
    if (isGone(this.#request.raw)) { this.#onClientClose(); return }
    awaitTurn(this.#request.raw, raw, () => { this.#send() }, () => { this.#onClientClose() })
  }

  #send (): void {
    const { raw, url, method } = this.#request
    const { upgrade: protocol = 'websocket' } = raw.headers
    const upgrade = upgradeOf(raw)
    const isTrusted = isFromTrustedProxy(this.#request)
    const hasBody = upgrade === undefined && bringsBody(raw)
    if (hasBody) this.#upload = this.#receive(raw)
    this.#context.client.dispatch({
      path: this.#context.upstream.path + originForm(url),
      method,
      headers: toUpstream(this.#request, this.#context, isTrusted, hasBody),
      body: this.#upload ?? null,
      reset: false, // undici would close the connection after HEAD, and after GET and DELETE with a body
      ...(upgrade === undefined ? {} : { upgrade: protocol, headersTimeout: this.#context.upgradeTimeout })
    }, this, this.#isRepeated)
  }

  #receive (raw: IncomingMessage): Upload {
    const upload = new Upload(raw)
    this.#reply.raw.once('finish', () => { upload.discard() })
    return upload
  }

  onRequestStart (controller: Controller): void {
    this.#controller = controller
    if (this.#isGone) controller.abort(new ClientGoneError())
  }

  /** undici calls it at the first byte of an answer. */
  onResponseStarted (): void {
    this.#isStarted = true
  }

  onRequestUpgrade ({ rawHeaders }: Controller, statusCode: number, _headers: IncomingHttpHeaders, socket: Duplex): void {
    this.#isOver = true
    const upgrade = upgradeOf(this.#request.raw)
    this.#tellAnswered()
    this.#reply.hijack()
    // It is always defined: undici accepts no answer to an aborted request, and no 101 without a request for it.
    if (upgrade !== undefined) {
      this.#reply.raw.detachSocket(upgrade.socket)
      joinSockets(upgrade, socket, bytesOf(rawHeaders), this.#request.server.server)
    }
    this.#log('joined', statusCode)
    socket.once('close', () => { this.#tellEnded(statusCode) })
  }

  onResponseStart (controller: Controller, statusCode: number, _headers: IncomingHttpHeaders, reason = ''): void {
    const raw = bytesOf(controller.rawHeaders)
    if (statusCode >= 100 && statusCode < 200 && statusCode !== 101) {
      writeInterim(this.#request.raw, this.#reply.raw, { status: statusCode, reason, fields: toHintsOrTrailers(raw) })
      return
    }
    const knowsChunks = this.#request.raw.httpVersion !== '1.0'
    const { fields, hasLength, isCoded } = toClient(raw, this.#reply.getHeaders(), this.#request, this.#context, {
      frameOptions: this.#frameOptions, knowsTrailers: knowsChunks
    })
    if (isCoded || statusCode < 200 || statusCode > 599) { this.#refuse(controller, new Error(isCoded ? 'a coded transfer' : `status ${statusCode}`)); return }
    this.#sayIfBack()
    this.#tellAnswered()
    this.#head = { status: statusCode, reason, fields }
    this.#showsItsEnd = hasLength || knowsChunks
    // An error in the first bytes of the body appears one turn of the event loop after the head.
    setImmediate(() => setImmediate(() => { this.#flushHeld() }))
    // Its Content-Length is that of a body that does not follow (RFC 9110 §8.6). undici would wait for the body.
    if (statusCode === 204 || statusCode === 304) this.onResponseEnd(controller)
  }

  onResponseData (controller: Controller, chunk: Buffer): void {
    if (this.#isOver) return
    // The connection ended while the answer was paused (resumeParser in upstream-client.ts): there is nothing left to wait for.
    if (chunk.length === 0) { controller.resume(); return }
    if (this.#head?.status === 403) this.#context.advise(chunk)
    if (this.#head !== undefined && !this.#isFlushed && this.#held === undefined) { this.#held = chunk; return }
    if (this.#flush() && !this.#reply.raw.write(chunk)) this.#wait(controller)
  }

  onResponseEnd (controller: Controller): void {
    if (this.#isOver) return
    this.#isOver = true
    if (!this.#writeHead()) return
    const { raw } = this.#reply
    addTrailers(this.#request.raw, raw, toHintsOrTrailers(bytesOf(controller.rawTrailers)))
    const held = this.#held
    this.#held = undefined
    if (held === undefined) raw.end()
    else raw.end(held)
  }

  onResponseError (_controller: Controller | undefined, error: Error): void {
    if (this.#isOver) return
    if (this.#isGone || error instanceof ClientGoneError) { this.#isOver = true; return }
    if (this.#canRepeat(error)) { this.#repeat(); return }
    this.#isOver = true
    const { method, url } = this.#request
    if (!this.#isFlushed && this.#held === undefined) {
      this.#giveUp(error, isTimeout(error) ? new UpstreamTimeoutError() : new UpstreamUnreachableError())
      return
    }
    this.#request.log.warn({ err: error, method, url }, 'The answer of the upstream broke off')
    if (this.#writeHead()) breakOff(this.#reply.raw, this.#held, this.#showsItsEnd)
  }

  #refuse (controller: Controller, problem: Error): void {
    this.onResponseError(controller, problem)
    controller.abort(problem)
  }

  /** The kept connection died before an answer, so the upstream has not seen the request. */
  #canRepeat (error: Error): boolean {
    if (this.#isRepeated || this.#isStarted || this.#upload?.isBegun === true) return false
    // A body that has not begun means that nothing has been sent, not even the headers.
    return (IDEMPOTENT.has(this.#request.method) || this.#upload !== undefined) && this.#context.client.wasKept(error)
  }

  #repeat (): void {
    this.#isRepeated = true
    this.#send()
  }

  #flushHeld (): void {
    if (!this.#isOver && !this.#isGone) this.#flush()
  }

  /** Writes the head, and the part of the body that came with it. */
  #flush (): boolean {
    if (this.#isFlushed) return true
    if (!this.#writeHead()) return false
    const held = this.#held
    this.#held = undefined
    if (held === undefined) flushHead(this.#request.raw, this.#reply.raw)
    else if (!this.#reply.raw.write(held) && this.#controller !== undefined) this.#wait(this.#controller)
    return true
  }

  /** @returns whether it is written: Node refuses some headers that undici accepts */
  #writeHead (): boolean {
    if (this.#isFlushed || this.#head === undefined) return this.#isFlushed
    try {
      writeHead(this.#request.raw, this.#reply.raw, this.#head)
    } catch (error) {
      this.#isOver = true
      this.#giveUp(error, new UpstreamUnreachableError())
      this.#controller?.abort(new UpstreamUnreachableError())
      return false
    }
    this.#isFlushed = true
    this.#reply.hijack()
    return true
  }

  #giveUp (err: unknown, answer: Error): void {
    const { method, url } = this.#request
    const code = codeOf(err)
    // The upstream sent a wrong answer. The stack may show what is wrong.
    if (code === '' || /^ERR_(INVALID|HTTP)_/.test(code)) this.#request.log.warn({ err, method, url }, 'No answer from the upstream')
    else {
      this.#context.isDown ||= !isTimeout(err)
      this.#request.log.warn({ code, method, url }, explainFailure(err, this.#context.upstream))
    }
    this.#reply.send(answer)
  }

  #sayIfBack (): void {
    if (!this.#context.isDown) return
    this.#context.isDown = false
    this.#request.log.info(`The upstream answers again: ${this.#context.upstream.origin}`)
  }

  #wait (controller: Controller): void {
    controller.pause()
    this.#reply.raw.once('drain', () => { controller.resume() })
  }

  #onClientClose (): void {
    const { raw } = this.#reply
    // An HTTP/2 stream that was reset looks finished.
    const isAnswered = isHttp2(this.#request.raw) ? this.#isOver : raw.writableFinished
    if (isAnswered) return // joined sockets have been taken from the response, and do not come here
    this.#isGone = true
    this.#log(this.#isOver ? 'broken' : 'gone', this.#reply.raw.headersSent ? raw.statusCode : CLIENT_CLOSED)
    this.#tellEnded(raw.headersSent ? raw.statusCode : CLIENT_CLOSED)
    if (!this.#isOver) this.#controller?.abort(new ClientGoneError())
  }

  #log (what: keyof typeof WORDS, statusCode: number): void {
    const { log, method, url } = this.#request
    log.info({ method, url, statusCode, responseTime: this.#reply.elapsedTime }, WORDS[what])
  }

  #tellAnswered (): void {
    for (const observer of observersOf(this.#request.server.server)) observer.answered?.(this.#request)
  }

  #tellEnded (statusCode: number): void {
    for (const observer of observersOf(this.#request.server.server)) observer.ended?.(this.#request, statusCode)
  }
}

/** nginx's status for a client that has hung up, for the log. */
const CLIENT_CLOSED = 499

const WORDS = {
  joined: 'upgraded, the two sockets are joined',
  gone: 'the client has hung up',
  broken: 'the answer was not delivered whole'
} as const

function isTimeout (error: unknown): boolean {
  return codeOf(error) === 'UND_ERR_HEADERS_TIMEOUT'
}

function bytesOf (raw: Controller['rawHeaders']): readonly Buffer[] {
  return Array.isArray(raw) ? raw.map(item => typeof item === 'string' ? Buffer.from(item, 'latin1') : item) : []
}
