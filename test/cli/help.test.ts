import { readFileSync } from 'node:fs'
import t from 'tap'
import { checkFlags, serveFlags } from '../../lib/cli/flags.js'
import { help } from '../../lib/cli/help.js'
import { main } from '../../lib/cli/main.js'

t.test('--help and --version', async t => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const page = readFileSync(new URL('../fixtures/help.txt', import.meta.url), 'utf8')
  for (const [args, text] of [
    [['--help'], page], [['-h'], page], [['check', '--help'], page], [['--help', '--version'], page],
    [['--version'], `${version}\n`], [['check', '--version'], `${version}\n`]
  ] as const) {
    let out = ''
    t.equal(await main([...args], text => { out += text }), 0)
    t.equal(out, text, args.join(' '))
  }
  for (const flag of [...Object.keys(serveFlags), ...Object.keys(checkFlags)]) t.ok(help().includes(`  --${flag}`), flag)
  for (const line of help().split('\n')) t.ok(line.length <= 100, line)
})
