import t from 'tap'
import { compileFrameAncestors } from '../../lib/rules/frame-ancestors.js'
import { codedErrors } from '../../lib/settings/errors.js'

t.test('frameAncestors becomes a directive of the Content-Security-Policy', async t => {
  const cases: Array<[entries: string[], directive: string]> = [
    [['https://notebook.company.com'], "frame-ancestors 'self' https://notebook.company.com"],
    [['https://*.company.com', 'http://localhost:*', 'http://10.0.0.1:8888'],
      "frame-ancestors 'self' https://*.company.com http://localhost:* http://10.0.0.1:8888"],
    [["'self'", 'https://a:443', 'vscode-webview://*'], "frame-ancestors 'self' https://a vscode-webview://*"]
  ]
  for (const [entries, directive] of cases) t.equal(compileFrameAncestors(entries).directive, directive, entries.join())
  t.strictSame(compileFrameAncestors([]), { directive: undefined, wildcards: [] })
  t.throws(() => codedErrors(() => compileFrameAncestors(['https://a_b.com'])), { message: /Content-Security-Policy: host names there have no "_"/ })
  for (const entry of ['@default', "'none'", 'self', 'null', 'http://10.0.0.0/8']) {
    t.throws(() => codedErrors(() => compileFrameAncestors([entry])), { message: /^frameAncestors \(--frame-ancestors\): (?!.*Did you mean)/ }, `${entry}: no fix that is none`)
  }
  for (const entry of ['https://nb-*.company.com', 'http://192.168.*', 'http://[::1]']) {
    t.throws(() => codedErrors(() => compileFrameAncestors([entry])), { message: /Content-Security-Policy: there "\*" .*ranges nor IPv6/ }, `${entry}: why`)
  }
  for (const entry of ['notebook.company.com', 'https://nb-*.company.com', 'http://192.168.*', 'http://[::1]', '*', "'none'", 'https://a; script-src *', 'https://a b', 'wss://a.com']) {
    t.throws(() => codedErrors(() => compileFrameAncestors([entry])), { code: 'FST_MLFLOW_SECURITY_INVALID_OPTION', message: /^frameAncestors \(--frame-ancestors\): "/ }, entry)
  }
})
