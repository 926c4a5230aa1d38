import t from 'tap'
import { run } from '../../fixtures/audit.js'

t.test('wrong flags and URLs are one line', async t => {
  const url = 'http://127.0.0.1:1'
  const cases: Array<[args: string[], message: RegExp]> = [
    [[], /^audit needs a URL: audit http:\/\/mlflow\.lan:5000\. See --help\.$/],
    [[url, 'http://b'], /^audit takes one URL, but "http:\/\/b" is a second one\./],
    [['mlflow.lan:5000'], /^audit: "mlflow\.lan:5000" is not an http or https URL\. Did you mean http:\/\/mlflow\.lan:5000\?$/],
    [['ftp://mlflow.lan'], /is not an http or https URL\. Write it as http:\/\/mlflow\.lan:5000\./],
    [['http://'], /is not an http or https URL/],
    [['http://user:pw@mlflow.lan'], /^audit: the URL carries a login\. Leave it out, and give it as a header: --header 'Authorization: Basic …'\.$/],
    [['http://mlflow.lan/mlflow?x=1'], /^audit: the URL has a query\. Name the server alone: http:\/\/mlflow\.lan\/mlflow$/],
    [['http://mlflow.lan:0'], /has port 0/],
    [['http://a_b!c.lan'], /^audit: "a_b!c\.lan" is not a host that a request can name\.$/],
    [[url, '--bogus'], /^Unknown flag --bogus/],
    [[url, '--upstream', 'http://a'], /^Unknown flag --upstream/],
    [[url, '--connect', 'a b'], /^--connect: "a b" is not an address to connect to\. Allowed: /],
    [[url, '--connect', '127.0.0.1:0'], /^--connect: "127\.0\.0\.1:0"/],
    [[url, '--connect'], /^--connect needs a value: --connect ADDRESS\[:PORT\]\./],
    [[url, '--header', 'nonsense'], /^--header: this is not a header\. Write it as --header 'Authorization: Bearer …'\.$/],
    [[url, '--header', 'A: b\r\nC: d'], /^--header: this is not a header/],
    [[url, '--header', 'host: x'], /^--header: host is a header that the audit itself has to set\.$/],
    [[url, '--header', 'Sec-Fetch-Site: none'], /^--header: Sec-Fetch-Site is a header/],
    [[url, '--allowed-hosts', 'https://a'], /^allowedHosts .*is a URL/],
    [[url, '--cors-allowed-origins', 'a.com'], /^corsAllowedOrigins .*has no scheme/],
    [[url, '--frame-ancestors', 'a.com'], /^frameAncestors /],
    [[url, '--allowed-hosts', 'mlflow.company.com'], /^audit: "127\.0\.0\.1:1", the URL's own host, is not in allowedHosts \(mlflow\.company\.com\)\. Ask by a name that is: audit http:\/\/NAME --connect 127\.0\.0\.1:1$/],
    [['https://127.0.0.1', '--allowed-hosts', 'mlflow.company.com'], /audit https:\/\/NAME --connect/]
  ]
  for (const [args, message] of cases) await t.rejects(run(...args), { message }, args.join(' '))
  t.match((await run('--help')).out, /audit URL/)
  t.equal((await run('--version')).code, 0)
})
