import assert from 'node:assert'
import { once } from 'node:events'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

const HOST = '127.0.0.1'
/** The pause between two attempts to reach the server, in milliseconds. */
const ASK_AGAIN = 200
/** The time limit of one attempt, in milliseconds. */
const PATIENCE = 2000

/** @returns a port of this machine that is free now */
export async function freePort (): Promise<number> {
  const server = createServer().listen(0, HOST)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  assert(address instanceof Object) // it has listened on a port
  return address.port
}

/** @returns whether a program listens on a port of this machine */
export async function isTaken (port: number): Promise<boolean> {
  const server = createServer()
  const isTaken = await once(server.listen(port, HOST), 'listening').then(() => false, () => true)
  server.close()
  return isTaken
}

/**
 * Waits until a server on this machine answers HTTP. Any answer counts.
 *
 * @param signal - ends the wait
 * @returns whether it has answered
 */
export async function untilAnswering (port: number, path: string, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    if (await answers(port, path)) return true
    await wait(ASK_AGAIN, undefined, { signal }).catch(() => {})
  }
  return false
}

function answers (port: number, path: string): Promise<boolean> {
  return new Promise(resolve => {
    const request = get({ host: HOST, port, path, agent: false, timeout: PATIENCE }, response => { response.destroy(); resolve(true) })
    request.once('timeout', () => request.destroy())
    request.once('error', () => resolve(false))
  })
}
