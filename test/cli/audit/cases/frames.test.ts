import t from 'tap'
import { startAudited } from '../../../fixtures/audit-targets.js'
import { findings, ids } from '../../../fixtures/audit.js'

t.test('who may frame the page is compared with what is meant', async t => {
  const cases: Array<[headers: Record<string, string | string[]>, flags: string[], verdict: string]> = [
    [{ 'x-frame-options': 'DENY' }, [], 'held'],
    [{ 'x-frame-options': 'sameorigin' }, [], 'held'],
    [{ 'x-frame-options': 'SAMEORIGIN, SAMEORIGIN' }, [], 'held'],
    [{ 'x-frame-options': 'SAMEORIGIN, DENY' }, [], 'held'],
    [{ 'x-frame-options': 'SAMEORIGIN, ALLOWALL' }, [], 'gap'],
    [{ 'x-frame-options': 'ALLOW-FROM https://a.com' }, [], 'gap'],
    [{ 'x-frame-options': 'SAMEORIGIN' }, ['--x-frame-options', 'DENY'], 'gap'],
    [{ 'x-frame-options': 'DENY' }, ['--x-frame-options', 'DENY'], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'none'" }, [], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'self' https://notebook.company.com" }, [], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'self' https://notebook.company.com" }, ['--frame-ancestors', 'https://notebook.company.com'], 'held'],
    [{ 'content-security-policy': "frame-ancestors 'self' https://other.com" }, ['--frame-ancestors', 'https://notebook.company.com'], 'gap'],
    [{ 'content-security-policy': 'frame-ancestors https:' }, [], 'gap'],
    [{ 'content-security-policy': 'frame-ancestors https://*' }, [], 'gap'],
    [{ 'content-security-policy': "default-src 'self'" }, [], 'gap'],
    [{ 'content-security-policy': ['frame-ancestors *', "frame-ancestors 'self'"] }, [], 'held'],
    [{ 'content-security-policy': 'frame-ancestors *', 'x-frame-options': 'DENY' }, [], 'gap'],
    [{ 'content-security-policy-report-only': "frame-ancestors 'self'" }, [], 'gap']
  ]
  for (const [headers, flags, verdict] of cases) {
    const { url } = await startAudited(t, ['frames'], {
      wrap: (_n, inner) => (request, response) => {
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
        inner(request, response)
      }
    })
    const { findings: all } = await findings(url, ...flags)
    t.equal(all.find(({ id }) => id === 'frames')?.verdict, verdict, JSON.stringify([headers, flags]))
  }
  const { url } = await startAudited(t, ['sniff'], {
    wrap: (_n, inner) => (request, response) => {
      response.setHeader('x-content-type-options', 'sniff')
      inner(request, response)
    }
  })
  t.ok(ids(await findings(url), 'gap').includes('nosniff'), 'a value that browsers do not know')
})
