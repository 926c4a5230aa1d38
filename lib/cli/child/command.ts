import { basename } from 'node:path'
import { resolvePrefix } from '../../gateway/static-prefix.js'
import { quote } from '../../grammar/quote.js'
import { variableNames } from '../../settings/table.js'
import { documentedFlags } from '../flags.js'
import { UsageError } from '../errors.js'

type Environment = Readonly<Record<string, string | undefined>>

/** A command that serves MLflow, on a local port that the gateway chooses. */
export interface ChildCommand {
  /** The mark before each line of its output: `mlflow`. */
  readonly name: string
  /** Arguments that have no effect because the gateway sets them. */
  readonly overruled: readonly string[]
  /** The value of its `--static-prefix`. */
  readonly staticPrefix: string | undefined
  /** @returns the program and its arguments */
  on (port: number): readonly [program: string, ...args: string[]]
}

const PLACE = '{port}'

/** The settings that the gateway checks instead of MLflow. */
const SETTINGS = Object.keys(documentedFlags).map(flag => `--${flag}`)

/** MLflow's options that pass options on to a server, with their variables, and the options there that set the address. */
const HANDED_ON = [
  { option: '--gunicorn-opts', variable: 'MLFLOW_GUNICORN_OPTS', bind: /^(-b|--bind)/ },
  { option: '--uvicorn-opts', variable: 'MLFLOW_UVICORN_OPTS', bind: /^--(host|port|uds|fd)(=|$)/ },
  { option: '--waitress-opts', variable: undefined, bind: /^--(host|port|listen|unix-socket)(=|$)/ }
] as const

/**
 * Parses the command after `--`. The address is appended to `mlflow server` and `mlflow ui`, where the last one counts. Any other
 * command has `{port}` in place of the port.
 *
 * @param environment - `process.env`
 * @throws FST_MLFLOW_SECURITY_USAGE if people could get past the gateway, or if MLflow would check requests a second time
 */
export function parseChild (command: readonly string[], environment: Environment): ChildCommand {
  const [program, ...args] = command
  if (program === undefined || program === '') throw new UsageError('There is no command after --. Write one: -- mlflow server.')
  if (process.platform === 'win32') throw new UsageError('-- COMMAND needs process groups, which Windows does not have. Start the server yourself, and name it with --upstream.')
  const name = basename(program)
  const isMlflow = name === 'mlflow' && isServer(args)
  if (isMlflow) refuseOwnAddress(args, environment)
  else if (!args.some(argument => argument.includes(PLACE))) {
    throw new UsageError(`${quote(command.join(' '))} does not say where the port goes: write {port} there, as in: -- python -m mlflow server --host 127.0.0.1 --port {port}.`)
  }
  return {
    name,
    overruled: isMlflow ? ['--host', '-h', '--port', '-p'].filter(option => valuesOf(option, args).length > 0) : [],
    staticPrefix: isMlflow ? valuesOf('--static-prefix', args).at(-1) ?? environment.MLFLOW_STATIC_PREFIX : undefined,
    on: port => [
      program, ...args.map(argument => argument.replaceAll(PLACE, String(port))), ...(isMlflow ? ['--host', '127.0.0.1', '--port', String(port)] : [])
    ]
  }
}

/**
 * Adapts the gateway's flags to a server that it starts itself.
 *
 * @throws FST_MLFLOW_SECURITY_USAGE if they contradict the command
 */
export function besideChild<Values extends { readonly upstream?: string | undefined, readonly 'static-prefix'?: string | undefined }> (
  values: Values, { staticPrefix, name }: ChildCommand
): Values & { readonly 'static-prefix': string | undefined } {
  const { upstream, 'static-prefix': prefix = staticPrefix } = values
  if (upstream !== undefined) throw new UsageError(`--upstream ${upstream} and -- ${name} do not go together: either the server runs already, or the gateway starts it.`)
  if (staticPrefix?.includes('%') === true) {
    throw new UsageError(`--static-prefix: ${name} decodes paths before it compares them, so ${quote(staticPrefix)} would never match. ` +
      'After the --, write it without escapes. Before the --, write --static-prefix as the browser\'s address shows it.')
  }
  if (staticPrefix !== undefined && decodeURIComponent(resolvePrefix(prefix)) !== staticPrefix) {
    throw new UsageError(`--static-prefix: ${name} has ${quote(staticPrefix)}, but the gateway has ${quote(String(prefix))}. Leave out the gateway's.`)
  }
  return { ...values, 'static-prefix': prefix }
}

/** @returns the environment for the command, without the settings that the gateway checks */
export function childEnvironment (environment: Environment): Record<string, string | undefined> {
  const names: readonly string[] = variableNames
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !names.includes(name)))
}

/** `mlflow server`, `mlflow ui`, `mlflow --env-file .env server`. */
function isServer (args: readonly string[]): boolean {
  const rest = args[0] === '--env-file' ? args.slice(2) : args
  const command = rest.find(argument => !argument.startsWith('-'))
  return command === 'server' || command === 'ui'
}

function refuseOwnAddress (args: readonly string[], environment: Environment): void {
  const setting = SETTINGS.find(option => args.some(argument => argument === option || argument.startsWith(`${option}=`)))
  if (setting !== undefined) {
    throw new UsageError(`Write ${setting} before the --, as a flag of the gateway. After the --, the MLflow server would check the gateway's own requests with it.`)
  }
  for (const { option, variable, bind } of HANDED_ON) {
    const given = [...valuesOf(option, args), ...(variable === undefined ? [] : [environment[variable] ?? ''])]
    const own = given.join(' ').split(/[\s'"]+/).find(word => bind.test(word))
    if (own === undefined) continue
    throw new UsageError(`${own} in ${[option, variable].filter(name => name !== undefined).join(' or ')} would let people past the gateway. ` +
      'Remove it: the gateway chooses the address.')
  }
}

/** The values of an option, as `--option value` and `--option=value`; of a short one `-p value` and `-pvalue`. */
function valuesOf (option: string, args: readonly string[]): string[] {
  const joined = option.startsWith('--') ? `${option}=` : option
  return args.flatMap((argument, i) => {
    if (argument === option) return args[i + 1] ?? ''
    return argument.startsWith(joined) ? argument.slice(joined.length) : []
  })
}
