/** A value from a request, at most this long wherever people see it. */
export const MAX_QUOTED = 255

/** @returns the value in quotes, every character outside printable ASCII escaped, at most 255 characters long */
export function quote (value: string): string {
  const escaped = JSON.stringify(value.slice(0, MAX_QUOTED)).slice(1, -1)
    .replace(/[^\x20-\x7e]/g, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return escaped.length > MAX_QUOTED - 2 ? `"${escaped.slice(0, MAX_QUOTED - 3)}…"` : `"${escaped}"`
}
