// The playground in real Chromium, under its own Content-Security-Policy.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { launchBrowser } from '../fixtures/chromium.js'
import { says, startNode } from '../fixtures/programs.js'

const SERVER = fileURLToPath(new URL('../../examples/playground/server.js', import.meta.url))

t.test('an attack, its reason, and the entry that would allow it', async t => {
  const [, address = ''] = await says(startNode(t, [SERVER, '--port', '0']), /^Playground: +(\S+)$/m)
  const browser = await launchBrowser()
  t.teardown(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 380, height: 800 } })
  const complaints: string[] = []
  page.on('console', message => { if (message.type() === 'error') complaints.push(message.text()) })
  page.on('pageerror', error => { complaints.push(error.message) })
  await page.goto(address)
  const hosts = page.getByLabel('Allowed hosts')
  await page.waitForFunction(() => document.querySelector('textarea')?.value !== '')

  await page.getByRole('button', { name: 'A page on a rebound name' }).click()
  await page.getByText('It is refused').waitFor()
  t.match(await page.locator('#answer').textContent(), /Host "evil\.com:5000" is not allowed.*Host: evil\.com:5000\r?\n.*HTTP\/1\.1 403 Forbidden/s)
  t.match(await page.locator('#refusals li').first().textContent(), /403 GET .* Host evil\.com:5000.*Add "evil\.com" to allowedHosts/)

  await page.getByRole('button', { name: 'What if allowedHosts has "evil.com" too?' }).click()
  await page.getByText('It passes').waitFor()
  t.match(await hosts.inputValue(), /^localhost, .*, evil\.com$/)
  t.same(complaints, [], 'nothing that the policy of the page forbids')

  // The field is left by the press of the button: its press counts all the same.
  await hosts.fill('https://evil.com')
  await page.getByRole('button', { name: 'The own page' }).click()
  await page.getByText('Nothing was sent').waitFor()
  t.match(await page.locator('#problems').textContent(), /"https:\/\/evil\.com" is a URL, not a host\..* Did you mean "evil\.com"\?/)

  await page.getByRole('button', { name: 'Back to the settings in force' }).click()
  await page.locator('#problems:empty').waitFor({ state: 'attached' })
  t.match(await hosts.inputValue(), /^localhost, .*fc00::\/7$/)
  t.notOk(await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth), 'a narrow page does not scroll sideways')
})
