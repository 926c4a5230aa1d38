import { Readable } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import { streamOf } from './answer.js'

/** @returns whether the request has a body */
export function bringsBody (raw: IncomingMessage): boolean {
  const stream = streamOf(raw)
  // In HTTP/2 the last frame of the headers says whether anything follows.
  if (stream !== undefined) return !stream.endAfterHeaders
  return raw.headers['transfer-encoding'] !== undefined || (raw.headers['content-length'] ?? '0') !== '0'
}

/** The client has hung up before its request was answered. */
export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError'
  readonly code = 'ECONNRESET'
  constructor () {
    super('The client has hung up')
  }
}

/**
 * The body of a request, on its way to the upstream. If the answer comes early, undici destroys the body that it was given and
 * removes its socket. If that were the request itself, the client's connection would end before the answer is written,
 * `request.ip` would be undefined, and hooks would see an abort.
 */
export class Upload extends Readable {
  /** Part of it, or its end, has been read. Until then undici has not even sent the headers. After that it cannot be sent again. */
  isBegun = false
  #isListening = false
  #isAnswered = false
  readonly #source: IncomingMessage
  readonly #onData = (chunk: Buffer): void => {
    this.isBegun = true
    if (!this.push(chunk)) this.#source.pause()
  }

  readonly #onEnd = (): void => { this.isBegun = true; this.push(null) }
  readonly #onClose = (): void => { if (!this.#source.readableEnded) this.destroy(new ClientGoneError()) }

  constructor (source: IncomingMessage) {
    super({ highWaterMark: 1 << 16 })
    this.#source = source
    // If the client hangs up while its request waits for a connection, undici destroys the body before it listens for errors.
    this.on('error', () => {})
  }

  override _read (): void {
    if (!this.#isListening) this.#listen()
    this.#source.resume()
  }

  /**
   * The request has been answered, and nobody wants the rest of its body. It is read all the same, as Node does where no handler
   * has begun to read: clients that send all before they read would never see the answer.
   */
  discard (): void {
    this.#isAnswered = true
    this.#stopListening()
    this.#source.resume()
  }

  #stopListening (): void {
    this.#source.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
  }

  #listen (): void {
    this.#isListening = true
    this.#source.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onClose)
    if (this.#source.destroyed) this.#onClose()
  }

  override _destroy (error: Error | null, callback: (error: Error | null) => void): void {
    this.#stopListening()
    if (!this.#isAnswered && !this.#source.readableEnded) this.#source.pause()
    callback(error)
  }
}
