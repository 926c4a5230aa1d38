import { readFileSync } from 'node:fs'
import t from 'tap'
import { startAudited } from '../../fixtures/audit-targets.js'
import { run } from '../../fixtures/audit.js'

t.test('the report in words: a line a case, and below a gap what it means and what closes it', async t => {
  const { url, port } = await startAudited(t, ['refuses-own-page', 'private-octets', 'any-origin', 'no-fetch-metadata'])
  const { code, out } = await run(url, '--disable-security-middleware')
  t.equal(code, 1)
  for (const line of out.split('\n')) t.ok(line.length <= 100, line)
  const expected = readFileSync(new URL('../../fixtures/audit.txt', import.meta.url), 'utf8')
  t.equal(out.replaceAll(String(port), '50000'), expected)
  const framed = await startAudited(t, ['frames'])
  const withFrames = await run(framed.url, '--allowed-hosts', '127.0.0.1', '--frame-ancestors', 'https://nb.company.com')
  t.match(withFrames.out, /hosts 127\.0\.0\.1; origins http:\/\/127\.0\.0\.1:\d+, localhost:\*; frames\s+https:\/\/nb\.company\.com/)
  t.match(withFrames.out, /Fix: {2}--frame-ancestors https:\/\/nb\.company\.com/)
})
