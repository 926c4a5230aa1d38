/** The most characters of a request's value that people are shown. */
export const MAX_QUOTED = 255
/** Printable ASCII with nothing to escape. */
const PLAIN = /^[\x20-\x21\x23-\x5b\x5d-\x7e]*$/

/** @returns the value in quotes, every character outside printable ASCII escaped, at most 255 characters long */
export function quote (value: string): string {
  // Most values need no escaping, and a flood of refusals should stay cheap.
  if (value.length <= MAX_QUOTED - 2 && PLAIN.test(value)) return `"${value}"`
  const escaped = escapeNonASCII(JSON.stringify(value.slice(0, MAX_QUOTED)).slice(1, -1))
  return escaped.length > MAX_QUOTED - 2 ? `"${escaped.slice(0, MAX_QUOTED - 3)}…"` : `"${escaped}"`
}

/** @returns the text with every character outside printable ASCII escaped, as JSON has it */
export function escapeNonASCII (text: string): string {
  return text.replace(/[^\x20-\x7e]/g, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
