/** Columns of what the command prints. */
const WIDTH = 100

/**
 * Breaks a text into lines.
 *
 * @param indent - begins the first line
 * @param hanging - begins all other lines
 */
export function wrap (text: string, indent: string, hanging: string): string {
  let line = indent
  let done = ''
  for (const word of text.split(' ')) {
    const isFull = line.trim() !== '' && `${line} ${word}`.length > WIDTH
    if (isFull) done += `${line}\n`
    line = isFull ? hanging + word : `${line}${line.trim() === '' ? '' : ' '}${word}`
  }
  return done + line
}
