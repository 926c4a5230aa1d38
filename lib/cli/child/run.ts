import { isatty } from 'node:tty'
import type { ServeOptions } from '../options.js'
import type { Outputs } from '../open-outputs.js'
import { announceEnd, delayOf, endAtOnceOnSecondSignal, reloadOnHangUp } from '../lifecycle.js'
import { serve } from '../serve.js'
import type { Running } from '../serve.js'
import { untilToldToEnd } from '../signals.js'
import type { Ending } from '../signals.js'
import type { ChildCommand } from './command.js'
import { freePort, isTaken, untilAnswering } from './ports.js'
import { startChild } from './process.js'
import type { Child } from './process.js'

/** How often to choose another port if a program has taken the first one in between. */
const ATTEMPTS = 5
/** The least time that the server gets to end by itself, in milliseconds, however long the requests have taken. */
const GRACE = 5000

/** A gateway and the server behind it. */
interface Pair { readonly running: Running, readonly child: Child, readonly port: number }

/**
 * Runs the gateway and the MLflow server behind it, until a signal or the end of the server ends both.
 *
 * @returns the exit code: the server's if it has ended by itself
 * @throws the errors of `serve` and `startChild`
 */
export async function runWithChild (settings: ServeOptions, command: ChildCommand, outputs: Outputs): Promise<number> {
  const end = untilToldToEnd(isatty(0))
  let pair = await start(settings, command, outputs)
  reloadOnHangUp(() => pair.running, settings)
  process.once('exit', () => pair.child.kill())
  const next = async (): Promise<Ending | number> => {
    const ending = await Promise.race([end, pair.child.ended])
    if (typeof ending === 'number') await pair.child.end(0) // and what it has left running
    return ending
  }
  let ending = await next()
  for (let attempt = 1; typeof ending === 'number' && attempt < ATTEMPTS && await isTaken(pair.port); attempt++) {
    pair.running.gateway.log.warn(`Port ${pair.port} was taken by another program before ${command.name} had it. Trying another one.`)
    await pair.running.end(0, 0)
    pair = await start({ ...settings, listen: { ...settings.listen, port: pair.running.port } }, command, outputs)
    ending = await next()
  }
  return typeof ending === 'number' ? await follow(pair, command, ending) : await finish(settings, pair, ending, outputs)
}

async function start (settings: ServeOptions, command: ChildCommand, { log, errors }: Outputs): Promise<Pair> {
  const port = await freePort()
  const options = { ...settings.options, upstream: `http://127.0.0.1:${port}` }
  const running = await serve({ ...settings, options }, () => log.dropped + errors.dropped, 'starting')
  const child = await startChild(command, port, errors)
  for (const option of command.overruled) {
    running.gateway.log.warn(`${option} of ${command.name} has no effect: ${command.name} listens where only the gateway reaches it. Write the gateway's own address before the --.`)
  }
  serveWhenAnswering({ running, child, port }, command)
  return { running, child, port }
}

async function serveWhenAnswering ({ running, child, port }: Pair, { name, staticPrefix = '' }: ChildCommand): Promise<void> {
  const gone = new AbortController()
  child.ended.then(() => gone.abort())
  const isThere = await untilAnswering(port, `${staticPrefix}/health`, gone.signal)
  if (!isThere || running.availability.state !== 'starting') return
  running.availability.state = 'serving'
  running.gateway.log.info(`${name} answers`)
}

/** Ends the requests first, and then the server that they need. */
async function finish (
  { drainDelay, shutdownTimeout }: ServeOptions, { running, child }: Pair, ending: Ending, outputs: Outputs
): Promise<number> {
  const delay = delayOf(ending, drainDelay)
  const code = announceEnd(running, ending, delay)
  endAtOnceOnSecondSignal(outputs, () => child.kill())
  const begun = Date.now()
  await running.end(delay, shutdownTimeout)
  await child.end(Math.max(GRACE, shutdownTimeout - (Date.now() - begun)))
  return code
}

/** Without the server there is nothing to serve. */
async function follow ({ running }: Pair, { name }: ChildCommand, code: number): Promise<number> {
  running.gateway.log.error(`${name} has ended with code ${code}, so the gateway ends too`)
  await running.end(0, 0)
  return code
}
