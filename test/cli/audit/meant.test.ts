import t from 'tap'
import { startAudited } from '../../fixtures/audit-targets.js'
import { findings, ids } from '../../fixtures/audit.js'

t.test('what is meant to be allowed is no gap', async t => {
  const open = await startAudited(t, ['any-host', 'star', 'any-origin', 'frames', 'any-preflight'])
  const meant = ['--allowed-hosts', '*', '--cors-allowed-origins', '*', '--x-frame-options', 'NONE']
  const { exitCode, findings: all } = await findings(open.url, ...meant)
  t.strictSame(all.filter(({ verdict }) => verdict === 'gap'), [])
  t.equal(exitCode, 0)
  t.match(all.find(({ id }) => id === 'foreign-host'), { verdict: 'not applicable', evidence: 'every Host is meant to pass: allowedHosts has "*"' })
  t.match(all.find(({ id }) => id === 'foreign-origin'), { verdict: 'not applicable', evidence: /corsAllowedOrigins has "\*"/ })
  t.match(all.find(({ id }) => id === 'frames'), { verdict: 'not applicable', evidence: /xFrameOptions is NONE/ })

  const withNull = await startAudited(t, ['null-origin'])
  const report = await findings(withNull.url, '--cors-allowed-origins', 'null,@default')
  t.strictSame(ids(report, 'gap'), [])
  t.match(report.findings.find(({ id }) => id === 'null-origin'), { verdict: 'not applicable', evidence: 'corsAllowedOrigins allows it' })

  const starred = await startAudited(t, ['star-with-credentials', 'any-origin'])
  t.strictSame(ids(await findings(starred.url, '--cors-allowed-origins', '*'), 'gap'), ['credentials'])
})
