// The rooms of lib (docs/architecture.md): imports go one way.
import { readFileSync, readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const LIB = fileURLToPath(new URL('../lib', import.meta.url))

/** From the first floor up. A file may import from its own floor and from lower ones. */
const FLOORS = [['grammar', 'http'], ['settings'], ['rules'], ['policy'], ['hooks', 'index.ts'], ['gateway', 'gateway.ts'], ['cli', 'cli.ts']]

/** These decide, and know nothing of the framework. */
const PURE = ['grammar', 'http', 'rules', 'policy']

const floorOf = (room: string): number => FLOORS.findIndex(rooms => rooms.includes(room))

const files = readdirSync(LIB, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).map(file => file.replaceAll(sep, '/'))

const roomOf = (file: string): string => file.split('/', 1)[0] ?? ''

interface Import { readonly file: string, readonly from: string, readonly isType: boolean }

/** Every `import … from`, `export … from` and `import()` of lib. */
const imports: Import[] = files.flatMap(file => {
  const text = readFileSync(join(LIB, file), 'utf8')
  const found = text.matchAll(/^(?:import|export)\b(?<isType> type\b)?[^']*? from '(?<source>[^']+)'|\bimport\('(?<lazy>[^']+)'\)/gm)
  return [...found].map(({ groups: { isType, source, lazy } = {} }) => ({ file, from: source ?? lazy ?? '', isType: isType !== undefined }))
})

/** @returns the room of a file of lib that is imported; `undefined` for anything outside lib */
function roomOfImport ({ file, from }: Import): string | undefined {
  if (!from.startsWith('.')) return undefined
  const target = relative(LIB, join(LIB, file, '..', from)).replaceAll(sep, '/').replace(/\.js$/, '.ts')
  return target.startsWith('..') ? undefined : roomOf(target)
}

t.test('each file of lib stands in a room, and only the three entries stand beside them', async t => {
  t.ok(imports.length > 400, `${imports.length} imports were read`)
  t.strictSame(files.filter(file => !file.includes('/')).sort(), ['cli.ts', 'gateway.ts', 'index.ts'])
  for (const file of files) t.not(floorOf(roomOf(file)), -1, file)
})

t.test('imports go one way', async t => {
  for (const one of imports) {
    const room = roomOfImport(one)
    if (room !== undefined) t.ok(floorOf(room) <= floorOf(roomOf(one.file)), `${one.file} imports ${one.from}`)
  }
})

t.test('what decides knows no Fastify at run time, and the plugin itself knows no grammar', async t => {
  for (const { file, from, isType } of imports) {
    if (PURE.includes(roomOf(file)) && !isType) t.notMatch(from, /fastify/, `${file} imports ${from}`)
  }
  for (const one of imports.filter(({ file }) => file === 'index.ts')) t.not(roomOfImport(one), 'grammar', one.from)
})
