import { splitList } from '../settings/list.js'
import { optionNames, settingOf } from '../settings/table.js'

/**
 * Finds the variables that a flag overrules. Somebody may have set one in a unit file, and never learn why it has no effect.
 *
 * @param values - the flags, as `util.parseArgs` returns them
 * @param environment - `process.env`
 * @returns a line for each variable that says something else than its flag
 */
export function ignoredVariables (
  values: Readonly<Record<string, unknown>>, environment: Readonly<Record<string, string | undefined>>
): string[] {
  return optionNames.flatMap(option => {
    const { flag, variable } = settingOf(option)
    if (flag === undefined || variable === undefined) return []
    const [given, ignored] = [values[flag], environment[variable] ?? '']
    if (given === undefined || ignored === '' || plain(given) === plain(ignored)) return []
    return `--${flag} is used, ${variable} is ignored`
  })
}

/** @returns a value as it compares: a list without blanks, a word in any case, and 1 for true */
function plain (value: unknown): string {
  const text = splitList(String(value).toLowerCase()).join(',')
  return text === '1' ? 'true' : text
}
