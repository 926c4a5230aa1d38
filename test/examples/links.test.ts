import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// People read the documentation in the repository and in the package: every link within it leads to a file of the package, and
// every anchor to a heading.

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PAGES = [...readdirSync(ROOT), ...readdirSync(join(ROOT, 'docs')).map(name => `docs/${name}`)].filter(name => name.endsWith('.md'))
const read = (page: string) => readFileSync(join(ROOT, page), 'utf8')

interface Manifest { readonly files: readonly string[] }
const { files }: Manifest = JSON.parse(read('package.json'))
/** npm packs these whatever `files` says. */
const ALWAYS_PACKED = ['README.md', 'LICENSE', 'package.json']

/** The text without code, where brackets are no links. */
function prose (page: string): string {
  return read(page).replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, code => code.replaceAll(/[[\]()]/g, ' '))
}

/** How GitHub makes an anchor of a heading. */
function anchor (heading: string): string {
  return heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase().replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-')
}

function anchorsOf (page: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of read(page).replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const name = anchor(heading)
    let unique = name
    for (let i = 1; anchors.has(unique); i++) unique = `${name}-${i}`
    anchors.add(unique)
  }
  return anchors
}

interface Link { readonly page: string, readonly target: string }

function linksOf (page: string): Link[] {
  return [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => ({ page, target }))
}

const isWithin = ({ target }: Link): boolean => !/^[a-z][a-z0-9+.-]*:/i.test(target)

/** @returns what is wrong with a link, or `undefined` */
function problemOf ({ page, target }: Link): string | undefined {
  const [path = '', fragment] = target.split('#')
  const file = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), decodeURIComponent(path)))
  if (file.startsWith('..') || !existsSync(join(ROOT, file))) return `there is no ${file}`
  if (!isPacked(file)) return `${file} is not in the package`
  if (fragment === undefined) return undefined
  if (!file.endsWith('.md') || statSync(join(ROOT, file)).isDirectory()) return `${file} has no headings`
  return anchorsOf(file).has(decodeURIComponent(fragment)) ? undefined : `${file} has no heading for #${fragment}`
}

function isPacked (file: string): boolean {
  return ALWAYS_PACKED.includes(file) || files.some(packed => file === packed || file.startsWith(`${packed}/`))
}

/** Of the README. */
const UNLISTED = ['Contents', 'License']

for (const page of PAGES) {
  t.test(`the links of ${page}`, async t => {
    for (const link of linksOf(page).filter(isWithin)) t.equal(problemOf(link), undefined, link.target)
  })
}

t.test('the README leads to every page of docs', async t => {
  const linked = new Set(linksOf('README.md').map(({ target }) => target.split('#')[0]))
  for (const page of PAGES.filter(page => page.startsWith('docs/'))) t.ok(linked.has(page), page)
})

t.test('a page with a table of contents lists all its sections there', async t => {
  for (const page of PAGES) {
    const [before = '', ...sections] = read(page).replace(/^```[\s\S]*?^```$/gm, '').split(/^## +/m)
    const contents = sections.find(section => section.startsWith('Contents\n')) ?? before
    const listed = [...contents.matchAll(/\]\(#([^)\s]+)\)/g)].map(([, name = '']) => name)
    if (listed.length === 0) continue
    const headings = sections.map(section => section.split('\n', 1)[0] ?? '').filter(heading => !UNLISTED.includes(heading))
    for (const heading of headings) t.ok(listed.includes(anchor(heading)), `${page}: ${heading}`)
  }
})

t.test('a link that leads nowhere is found', async t => {
  t.equal(problemOf({ page: 'README.md', target: 'docs/nothing.md' }), 'there is no docs/nothing.md')
  t.equal(problemOf({ page: 'README.md', target: '#nothing' }), 'README.md has no heading for #nothing')
  t.equal(problemOf({ page: 'docs/options.md', target: '../bench/index.js' }), 'bench/index.js is not in the package')
  t.equal(problemOf({ page: 'docs/options.md', target: '../../x.md' }), 'there is no ../x.md')
  t.equal(problemOf({ page: 'README.md', target: 'docs/images/benchmarks.svg#x' }), 'docs/images/benchmarks.svg has no headings')
  t.equal(anchor('Chrome\'s `Local` [Network](x.md) Access'), 'chromes-local-network-access')
})
