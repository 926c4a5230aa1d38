import { optionNames, settingOf } from './table.js'

/**
 * Whether the schema can have nothing against these settings, because each is a text, a list of texts or a switch where its
 * schema takes one. Most servers have no others, and are spared Ajv, which takes longer to load than all the rest.
 *
 * @param data - by option
 */
export function arePlain (data: Readonly<Record<string, unknown>>): boolean {
  return optionNames.every(option => data[option] === undefined || typesOf(settingOf(option).schema).includes(plainTypeOf(data[option])))
}

function typesOf ({ type }: { readonly type?: unknown }): unknown[] {
  return [type].flat()
}

/** @returns the type in JSON Schema's words; of other objects none that a schema has */
function plainTypeOf (value: unknown): string {
  if (Array.isArray(value)) return value.every(item => typeof item === 'string') ? 'array' : 'other'
  return typeof value === 'object' ? 'other' : typeof value
}
