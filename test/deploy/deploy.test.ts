// The deployments of examples/deploy behind real proxies: nginx, Caddy and systemd's own checker have to be installed.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { serveFlags } from '../../lib/cli/flags.js'
import { serveOptions } from '../../lib/cli/options.js'
import { commandLines } from '../fixtures/command-lines.js'
import { freePort } from '../fixtures/free-port.js'
import { untilListening } from '../fixtures/listens.js'
import { certificate, gateway, upstream } from '../fixtures/upstream.js'

const NAME = 'mlflow.company.com'
const read = (path: string) => readFileSync(new URL(`../../examples/deploy/${path}`, import.meta.url), 'utf8')

/** The gateway as the example's own command line has it, in front of a server that shows what it gets. */
async function startGateway (t: Test, example: string): Promise<number> {
  const target = await upstream(t, (request, response) => {
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
      return
    }
    let length = 0
    request.on('data', chunk => { length += chunk.length }).on('end', () => response.end(JSON.stringify({ ...request.headers, length })))
  })
  const line = commandLines().find(({ where }) => where.includes(`deploy/${example}/`))
  const { options } = serveOptions(parseArgs({ args: line?.args ?? [], options: serveFlags }).values, { logger: false })
  return (await gateway(t, { ...options, upstream: target, fastify: { trustProxy: options.fastify?.trustProxy ?? false } })).port
}

interface Answer { readonly status: number, readonly body: string }

/** A request to the proxy by its name, over TLS. */
function ask (port: number, ca: string, { method = 'GET', path = '/', headers = {}, body = '', first = false }): Promise<Answer> {
  const agent = new Agent({ ca, servername: '', checkServerIdentity: () => undefined })
  return new Promise((resolve, reject) => {
    const request = httpsRequest({ agent, host: '127.0.0.1', port, method, path, headers: { host: `${NAME}:${port}`, ...headers } }, response => {
      let text = ''
      const end = (): void => { resolve({ status: response.statusCode ?? 0, body: text }); agent.destroy() }
      response.setEncoding('utf8').on('data', chunk => { text += chunk; if (first) end() }).on('end', end)
    })
    request.on('error', reject).end(body)
  })
}

async function behaves (t: Test, port: number, ca: string): Promise<void> {
  const own = `https://${NAME}:${port}`
  const big = 'x'.repeat(5e6)
  const post = await ask(port, ca, { method: 'POST', headers: { origin: own, 'x-forwarded-host': 'evil.com', 'x-forwarded-for': '6.6.6.6' }, body: big })
  t.equal(post.status, 200, 'its own page writes')
  t.match(JSON.parse(post.body), { length: big.length, 'x-forwarded-proto': 'https', 'x-forwarded-host': `${NAME}:${port}`, 'x-forwarded-for': /127\.0\.0\.1/ })
  t.equal((await ask(port, ca, { method: 'POST', headers: { origin: 'https://evil.com' } })).status, 403, 'another site does not')
  t.notMatch((await ask(port, ca, { headers: { host: 'evil.com' } })).body, 'x-forwarded', 'a rebound page reaches nothing')
  t.match(await ask(port, ca, { path: '/events', first: true }), { status: 200, body: 'data: 1\n\n' }, 'events come as they are sent')
}

t.test('behind nginx', async t => {
  const { cert, key } = certificate()
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'))
  writeFileSync(join(folder, 'cert.pem'), cert)
  writeFileSync(join(folder, 'key.pem'), key)
  const site = read('nginx/mlflow.conf')
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replace('127.0.0.1:8080', `127.0.0.1:${await startGateway(t, 'nginx')}`)
    .replace(/\/etc\/ssl\/\S+\.pem/, join(folder, 'cert.pem'))
    .replace(/\/etc\/ssl\/\S+\.key/, join(folder, 'key.pem'))
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`).join('\n')
  writeFileSync(join(folder, 'nginx.conf'), `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;\nevents {}\nhttp {\naccess_log off;\n${paths}\n${site}\n}`)
  const nginx = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'inherit' })
  t.teardown(async () => { nginx.kill(); await once(nginx, 'close'); rmSync(folder, { recursive: true }) })
  await untilListening(port)
  await behaves(t, port, cert)
})

t.test('behind Caddy', async t => {
  const { cert, key } = certificate()
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'caddy-'))
  writeFileSync(join(folder, 'cert.pem'), cert)
  writeFileSync(join(folder, 'key.pem'), key)
  const site = read('caddy/Caddyfile')
    .replace(`${NAME} {`, `https://${NAME}:${port}, https://127.0.0.1:${port} {\n\ttls ${folder}/cert.pem ${folder}/key.pem`)
    .replace('127.0.0.1:8080', `127.0.0.1:${await startGateway(t, 'caddy')}`)
  writeFileSync(join(folder, 'Caddyfile'), `{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_sni 127.0.0.1\n}\n${site}`)
  const caddy = spawn('caddy', ['run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'], {
    stdio: ['ignore', 'ignore', 'ignore'], env: { ...process.env, HOME: folder }
  })
  t.teardown(async () => { caddy.kill('SIGKILL'); await once(caddy, 'close'); rmSync(folder, { recursive: true }) })
  await untilListening(port)
  await behaves(t, port, cert)
})

t.test('the units are ones that systemd takes', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'systemd-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const unit of ['mlflow-gateway', 'mlflow']) {
    const file = join(folder, `${unit}.service`)
    writeFileSync(file, read(`systemd/${unit}.service`).replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`))
    t.doesNotThrow(() => execFileSync('systemd-analyze', ['verify', '--man=no', file], { stdio: 'pipe' }), unit)
    const said = execFileSync('sh', ['-c', `systemd-analyze verify --man=no ${file} 2>&1 | grep ${unit} || true`], { encoding: 'utf8' })
    t.equal(said, '', `${unit}: without a warning`)
  }
})
