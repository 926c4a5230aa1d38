import { fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

/** Starts one of bench/servers.js. */
export async function start (name, upstream, level) {
  const child = fork(new URL('servers.js', import.meta.url), [name, upstream, level].filter(argument => argument !== undefined))
  const [{ port }] = await once(child, 'message')
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    stop: () => child.kill(),
    /** Microseconds of CPU time so far. */
    async cpu () {
      child.send('cpu')
      const [{ cpu }] = await once(child, 'message')
      return cpu.user + cpu.system
    },
    async memory () {
      child.send('memory')
      const [{ memory }] = await once(child, 'message')
      return memory
    }
  }
}

export async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Waits until something listens there. */
export async function reachable (port) {
  for (let i = 0; i < 600; i++) {
    const socket = connect(port, '127.0.0.1')
    const isThere = await new Promise(resolve => { socket.once('connect', () => resolve(true)).once('error', () => resolve(false)) })
    socket.destroy()
    if (isThere) return
    await wait(100)
  }
  throw new Error(`nothing listens on port ${port}`)
}

/** nginx with the same rules, as well as its configuration can say them; `undefined` where it is not installed. */
export async function startNginx (upstream) {
  if (spawnSync('nginx', ['-v']).status !== 0) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'))
  const port = await freePort()
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${folder}/${name};`).join(' ')
  writeFileSync(join(folder, 'nginx.conf'), `daemon off; pid ${folder}/pid; worker_processes 1; error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log ${folder}/access.log; keepalive_requests 10000000; ${paths}
  map $http_host $host_allowed { default 0; "~^(localhost|[^:]+\\.localhost|127(\\.\\d+){3}|10(\\.\\d+){3}|192\\.168(\\.\\d+){2})(:\\d+)?$" 1; }
  map $http_origin $origin_allowed { default 0; "" 1; "~^https?://(localhost|[^:/]+\\.localhost|127(\\.\\d+){3})(:\\d+)?$" 1; }
  map "$request_method:$origin_allowed" $refused { default 0; "~^(POST|PUT|PATCH|DELETE):0$" 1; }
  upstream mlflow { server ${new URL(upstream).host}; keepalive 64; }
  server {
    listen 127.0.0.1:${port}; client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;
    if ($host_allowed = 0) { return 403; }
    if ($refused = 1) { return 403; }
    add_header X-Frame-Options SAMEORIGIN always; add_header X-Content-Type-Options nosniff always;
    location / { proxy_pass http://mlflow; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Origin ""; }
  }
}`)
  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  await reachable(port)
  return { port, url: `http://127.0.0.1:${port}`, cpu: () => workerTime(child.pid), stop: () => child.kill('SIGTERM') }
}

/** Microseconds of CPU time of nginx's worker, which serves; its master does not. */
function workerTime (master) {
  const worker = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim().split(' ')[0]
  const fields = readFileSync(`/proc/${worker}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK
}

/** Microseconds; Linux tells time in hundredths of a second. */
const TICK = 10_000
