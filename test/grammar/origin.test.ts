import t from 'tap'
import { NO_PORT, parseAuthority } from '../../lib/grammar/authority.js'
import { isAt, parseOrigin } from '../../lib/grammar/origin.js'

t.test('origins', async t => {
  t.match(parseOrigin('HTTPS://App.Company.com'), { scheme: 'https', authority: { host: 'app.company.com' }, port: 443 })
  t.match(parseOrigin('http://[::1]:3000'), { scheme: 'http', authority: { host: '::1' }, port: 3000 })
  t.match(parseOrigin('chrome-extension://abcdef'), { scheme: 'chrome-extension', port: NO_PORT })
  const malformed = [
    '', 'null', 'app.company.com', 'https://', '://a', 'https:/a', 'https://a/', 'https://a/b', 'https://u@a', 'https://a, https://b',
    'https://a https://b', '1http://a', 'https://a:', 'https://127.1', `${'s'.repeat(65)}://a`, 'https://a\nb', 'https://a\n'
  ]
  for (const text of malformed) t.equal(parseOrigin(text), undefined, text)
})

t.test('a page is on an authority: same host, same port, missing ports by the scheme of the page', async t => {
  const cases: Array<[origin: string, authority: string, expected: boolean]> = [
    ['https://a', 'a', true], ['https://a', 'a:443', true], ['http://a', 'a:80', true], ['https://a:8443', 'a:8443', true],
    ['http://a', 'a', true], ['https://a', 'a:80', false], ['https://a:8443', 'a', false], ['https://a', 'b', false]
  ]
  for (const [text, authority, expected] of cases) {
    const origin = parseOrigin(text)
    t.equal(origin && isAt(origin, parseAuthority(authority)), expected, `${text} on ${authority}`)
  }
})
