import assert from 'node:assert'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { quote } from '../../grammar/quote.js'
import { UsageError } from '../errors.js'
import type { Output } from '../output.js'
import { exitCodeOf } from '../signals.js'
import { childEnvironment } from './command.js'
import type { ChildCommand } from './command.js'

/** How often to look whether a process group has ended, in milliseconds. */
const LOOK_AGAIN = 50
/** How long to wait for a killed group to be gone, in milliseconds. Without an init process that reaps it, it never is. */
const AFTER_KILL = 1000
/** Longer lines are passed on in pieces of this length. */
const LONGEST_LINE = 1 << 16

/** A running command, with every process that it has started. */
export interface Child {
  /** The exit code; 128 plus the signal's number if a signal has ended it. */
  readonly ended: Promise<number>
  /** Ends it and all that it has started: by SIGTERM, then by SIGKILL what is left after the time limit. */
  end (timeout: number): Promise<void>
  /** Kills all of it at once. */
  kill (): void
}

/**
 * Starts a command in a process group of its own, never through a shell. Ctrl-C on the terminal then reaches only the gateway,
 * which lets running requests finish first.
 *
 * @param output - gets its lines, each with the mark
 * @throws FST_MLFLOW_SECURITY_USAGE if it cannot be started
 */
export async function startChild (command: ChildCommand, port: number, output: Output): Promise<Child> {
  const [program, ...args] = command.on(port)
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: childEnvironment(process.env) })
  const ended = new Promise<number>(resolve => {
    child.once('exit', (code, signal) => resolve(signal === null ? Number(code) : exitCodeOf(signal)))
  })
  await spawned(child, program)
  const { pid: group } = child
  assert(group !== undefined) // 0 would be the gateway's own group
  for (const stream of [child.stdout, child.stderr]) mark(stream, `${command.name} | `, output)
  const send = (signal: NodeJS.Signals | 0): boolean => signalGroup(group, signal)
  return {
    ended,
    kill: () => { send('SIGKILL') },
    async end (timeout) {
      send('SIGTERM')
      await untilGone(send, timeout)
      send('SIGKILL')
      await untilGone(send, AFTER_KILL)
    }
  }
}

async function untilGone (send: (signal: 0) => boolean, timeout: number): Promise<void> {
  for (const deadline = Date.now() + timeout; send(0) && Date.now() < deadline;) await wait(LOOK_AGAIN)
}

function spawned (child: ChildProcess, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve())
    child.once('error', error => {
      const reason = 'code' in error && error.code === 'ENOENT' ? 'is not installed, or not in PATH' : `cannot be started: ${error.message}`
      reject(new UsageError(`-- ${quote(program)} ${reason}.`))
    })
  })
}

/** @returns whether the group still has processes */
function signalGroup (group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}

function mark (stream: Readable, prefix: string, output: Output): void {
  let rest = ''
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.splice(-1).join('')
    for (const line of lines) output.write(`${prefix}${line}\n`)
    if (rest.length < LONGEST_LINE) return
    output.write(`${prefix}${rest}\n`)
    rest = ''
  })
  stream.once('end', () => { if (rest !== '') output.write(`${prefix}${rest}\n`) })
}
