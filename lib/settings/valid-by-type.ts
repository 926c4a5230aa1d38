import { optionNames, settingOf } from './table.js'

/**
 * Whether these settings are valid by their types alone: each is a text, a list of texts or a switch, and its schema takes
 * that. Most servers have only such settings. Then Ajv is not loaded, which takes longer than everything else.
 *
 * @param data - by option
 */
export function arePlain (data: Readonly<Record<string, unknown>>): boolean {
  return optionNames.every(option => data[option] === undefined || typesOf(settingOf(option).schema).includes(plainTypeOf(data[option])))
}

function typesOf ({ type }: { readonly type?: unknown }): unknown[] {
  return [type].flat()
}

/** @returns the type in JSON Schema's words; for other objects `other`, which no schema has */
function plainTypeOf (value: unknown): string {
  if (Array.isArray(value)) return value.every(item => typeof item === 'string') ? 'array' : 'other'
  return typeof value === 'object' ? 'other' : typeof value
}
