// MLflow's basic-auth app behind the command: its sign-up form in Chromium, and the Python client of a user. MLFLOW_VENV names a Python
// environment with `mlflow[auth]` in it, CHROMIUM the browser; nginx has to be installed.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { launchBrowser } from '../fixtures/chromium.js'
import { runPython, startGateway, startMlflow, visit } from '../fixtures/mlflow.js'
import { freePort } from '../fixtures/free-port.js'
import { startNginx } from '../fixtures/nginx.js'
import { certificate } from '../fixtures/upstream.js'

const ADMIN = { username: 'admin', password: 'the-password-of-admin' }
const PASSWORD = 'long-enough-password'

let browser: Browser
let mlflow: number
let cert: string
let key: string
t.before(async () => {
  browser = await launchBrowser()
  const server = await startMlflow(t, ['--workers', '1', '--app-name', 'basic-auth'], {
    env: { MLFLOW_AUTH_ADMIN_PASSWORD: ADMIN.password, MLFLOW_FLASK_SERVER_SECRET_KEY: 'a secret key of the forms' }
  })
  mlflow = server.port
  const folder = mkdtempSync(join(tmpdir(), 'auth-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  ;[cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const pair = await certificate()
  writeFileSync(cert, pair.cert)
  writeFileSync(key, pair.key)
})
t.teardown(() => browser.close())

/** @returns the status of MLflow's own answer: 404 where there is no such user */
async function userStatus (username: string): Promise<number> {
  const authorization = `Basic ${Buffer.from(`${ADMIN.username}:${ADMIN.password}`).toString('base64')}`
  const response = await fetch(`http://127.0.0.1:${mlflow}/api/2.0/mlflow/users/get?username=${username}`, { headers: { authorization } })
  return response.status
}

/** Fills in the form, sends it, and looks whether the user is there. */
async function signUp (t: Test, base: string, username: string): Promise<void> {
  t.equal(await userStatus(username), 404, 'no such user yet')
  const { page, failed } = await visit(t, browser, `${base}/signup`, { httpCredentials: ADMIN, ignoreHTTPSErrors: true })
  await page.getByLabel('Username').fill(username)
  await page.getByLabel('Password').fill(PASSWORD)
  const answer = page.waitForResponse(response => response.request().method() === 'POST')
  await page.getByRole('button', { name: 'Sign up' }).click()
  t.equal((await answer).status(), 200, `the form is taken: ${base}`)
  t.same(failed, [])
  t.equal(await userStatus(username), 200, 'the user is there')
}

t.test('the sign-up form over plain http', async t => {
  await signUp(t, `http://localhost:${await startGateway(t, mlflow)}`, 'plain')
})

t.test('the sign-up form over --cert', async t => {
  await signUp(t, `https://localhost:${await startGateway(t, mlflow, ['--cert', cert, '--key', key])}`, 'over-tls')
})

t.test('the sign-up form behind a trusted proxy that terminates TLS', async t => {
  const gateway = await startGateway(t, mlflow, ['--trust-proxy', 'loopback', '--allowed-hosts', '@default,mlflow.test'])
  const port = await freePort()
  await startNginx(t, port, `server {
    listen 127.0.0.1:${port} ssl; ssl_certificate ${cert}; ssl_certificate_key ${key};
    location / {
      proxy_pass http://127.0.0.1:${gateway}; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-For $remote_addr;
    }
  }`)
  await signUp(t, `https://mlflow.test:${port}`, 'behind-proxy')
})

t.test('the Python client says who it is', async t => {
  const gateway = await startGateway(t, mlflow, ['--cert', cert, '--key', key])
  const ask = (name: string, username: string, password: string): Promise<unknown> => runPython('signed_in.py', [`https://127.0.0.1:${gateway}`, name], {
    MLFLOW_TRACKING_USERNAME: username, MLFLOW_TRACKING_PASSWORD: password, MLFLOW_TRACKING_SERVER_CERT_PATH: cert
  })
  const [own, wrong] = await Promise.all([ask('of-a-user', 'over-tls', PASSWORD), ask('of-nobody', 'over-tls', 'not-the-password-of-it')])
  t.equal(own, 'déjà vu')
  t.match(wrong, /error code 401.*You are not authenticated/)
})
