import { isatty } from 'node:tty'
import { reloadCertificate } from './certificates.js'
import type { ServeOptions } from './options.js'
import type { Outputs } from './open-outputs.js'
import { probe } from './probe.js'
import { LAST_REQUESTS, serve } from './serve.js'
import type { Running } from './serve.js'
import { exitCodeOf, onHangUp, untilToldToEnd } from './signals.js'
import type { Ending } from './signals.js'

/**
 * Runs the gateway until a signal ends it.
 *
 * @returns the exit code
 * @throws what {@link serve} throws
 */
export async function run (settings: ServeOptions, outputs: Outputs): Promise<number> {
  const end = untilToldToEnd(isatty(0))
  const running = await serve(settings, () => outputs.log.dropped + outputs.errors.dropped)
  reloadOnHangUp(() => running, settings)
  probe(running.gateway, running.upstream, settings.options.staticPrefix)
  const ending = await end
  const delay = delayOf(ending, settings.drainDelay)
  const code = announceEnd(running, ending, delay)
  endAtOnceOnSecondSignal(outputs, () => {})
  await running.end(delay, settings.shutdownTimeout)
  return code
}

/** After an uncaught error the process ends without the drain delay. */
export function delayOf (ending: Ending, drainDelay: number): number {
  return 'error' in ending ? 0 : drainDelay
}

/**
 * Says what ends the process, and what happens until then.
 *
 * @param delay - milliseconds of the drain delay
 * @returns the exit code
 */
export function announceEnd ({ gateway: { log } }: Running, ending: Ending, delay: number): number {
  if ('error' in ending) {
    log.fatal(ending.error)
    return 1
  }
  log.info(`${ending.signal}: ${delay > 0 ? `for ${delay / 1000} s the health paths answer 503, and everything else is served (--drain-delay)` : LAST_REQUESTS}`)
  return 0
}

/** If SIGHUP does not end the process, it reads the certificate again. */
export function reloadOnHangUp (running: () => Running, { certificate }: ServeOptions): void {
  if (isatty(0)) return
  onHangUp(() => reloadCertificate(running().gateway.server, certificate, running().gateway.log))
}

/** A second Ctrl-C means: do not wait. */
export function endAtOnceOnSecondSignal ({ log, errors }: Outputs, kill: () => void): void {
  untilToldToEnd(isatty(0)).then(ending => {
    kill()
    log.flush()
    errors.flush()
    process.exit('signal' in ending ? exitCodeOf(ending.signal) : 1)
  })
}
