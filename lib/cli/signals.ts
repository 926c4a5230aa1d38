import { constants } from 'node:os'

/** What tells a process to end: a signal, or an error that nobody has caught. */
export type Ending = { readonly signal: NodeJS.Signals } | { readonly error: unknown }

/**
 * Waits until the process is told to end. SIGHUP ends it only on a terminal: when the session drops, nobody is left to end
 * it. Elsewhere SIGHUP means "read your files again".
 */
export async function untilToldToEnd (isTerminal: boolean): Promise<Ending> {
  const signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', ...(isTerminal ? ['SIGHUP'] as const : [])]
  return await new Promise(resolve => {
    const settle = (ending: Ending): void => {
      for (const signal of signals) process.off(signal, onSignal)
      process.off('uncaughtException', onError)
      resolve(ending)
    }
    const onSignal = (signal: NodeJS.Signals): void => settle({ signal })
    const onError = (error: unknown): void => settle({ error })
    for (const signal of signals) process.on(signal, onSignal)
    process.on('uncaughtException', onError)
  })
}

let hasHungUp = false
const note = (): void => { hasHungUp = true }

/** SIGHUP would end a process that is still starting. From now on it is only noted, until {@link onHangUp} says what it does. */
export function noteHangUps (): void {
  process.on('SIGHUP', note)
}

/** @param act - is called for each SIGHUP, and at once if one has been noted */
export function onHangUp (act: () => void): void {
  process.off('SIGHUP', note).on('SIGHUP', act)
  if (hasHungUp) act()
}

/** @returns the exit code of a process that a signal has ended, as shells report it */
export function exitCodeOf (signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}
