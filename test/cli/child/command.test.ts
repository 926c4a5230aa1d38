import t from 'tap'
import { besideChild, childEnvironment, parseChild } from '../../../lib/cli/child/command.js'

const parse = (command: readonly string[], environment = {}) => parseChild(command, environment)
const APPENDED = ['--host', '127.0.0.1', '--port', '4321']

t.test('mlflow server gets its address appended; other commands say where it goes', async t => {
  for (const [command, name, expected] of [
    [['mlflow', 'server'], 'mlflow', ['mlflow', 'server', ...APPENDED]],
    [['/opt/venv/bin/mlflow', 'ui', '--workers', '1'], 'mlflow', ['/opt/venv/bin/mlflow', 'ui', '--workers', '1', ...APPENDED]],
    [['mlflow', '--env-file', 'server.env', 'server'], 'mlflow', ['mlflow', '--env-file', 'server.env', 'server', ...APPENDED]],
    [['mlflow', '--env-file=.env', 'server'], 'mlflow', ['mlflow', '--env-file=.env', 'server', ...APPENDED]],
    [['python', '-m', 'mlflow', 'server', '--port', '{port}'], 'python', ['python', '-m', 'mlflow', 'server', '--port', '4321']],
    [['uvx', 'mlflow', 'server', '--port={port}'], 'uvx', ['uvx', 'mlflow', 'server', '--port=4321']],
    [['serve', 'tcp://127.0.0.1:{port}', '{port}'], 'serve', ['serve', 'tcp://127.0.0.1:4321', '4321']],
    [['sh', '-c', 'echo $HOME; exec x {port}'], 'sh', ['sh', '-c', 'echo $HOME; exec x 4321']]
  ] as const) {
    const child = parse(command)
    t.equal(child.name, name)
    t.strictSame(child.on(4321), expected, command.join(' '))
  }
})

t.test('what would let people past the gateway, or check twice, is refused with the fix', async t => {
  const server = ['mlflow', 'server']
  for (const [command, environment, message] of [
    [[], {}, /^There is no command after --/],
    [[''], {}, /^There is no command after --/],
    [['uvx', 'mlflow', 'server'], {}, /^"uvx mlflow server" does not say where the port goes: write \{port\} there, as in: -- python -m mlflow server/],
    [['mlflow', 'db', 'upgrade'], {}, /does not say where the port goes/],
    [['mlflow'], {}, /does not say where the port goes/],
    [[...server, '--gunicorn-opts', '-b 0.0.0.0:80'], {}, /^-b in --gunicorn-opts or MLFLOW_GUNICORN_OPTS would let people past the gateway\. Remove it: the gateway chooses the address\.$/],
    [[...server, '--gunicorn-opts=--timeout 60 --bind=0.0.0.0'], {}, /^--bind=0\.0\.0\.0 in --gunicorn-opts/],
    [[...server, '--gunicorn-opts', '-b0.0.0.0'], {}, /^-b0\.0\.0\.0 in --gunicorn-opts/],
    [[...server, '--uvicorn-opts', '--log-level info --host 0.0.0.0'], {}, /^--host in --uvicorn-opts or MLFLOW_UVICORN_OPTS/],
    [[...server, '--uvicorn-opts', "'--uds' /run/x"], {}, /^--uds in --uvicorn-opts/],
    [[...server, '--uvicorn-opts', '--fd=3'], {}, /^--fd=3 in --uvicorn-opts/],
    [[...server, '--waitress-opts', '--listen=*:80'], {}, /^--listen=\*:80 in --waitress-opts would/],
    [server, { MLFLOW_UVICORN_OPTS: '--port 80' }, /^--port in --uvicorn-opts or MLFLOW_UVICORN_OPTS/],
    [server, { MLFLOW_GUNICORN_OPTS: '--bind :80' }, /^--bind in --gunicorn-opts/],
    [[...server, '--allowed-hosts', 'a'], {}, /^Write --allowed-hosts before the --, as a flag of the gateway\. After the --, the MLflow server would check/],
    [[...server, '--x-frame-options=DENY'], {}, /^Write --x-frame-options before the --/],
    [[...server, '--disable-security-middleware'], {}, /^Write --disable-security-middleware before the --/]
  ] as const) t.throws(() => parse(command, environment), { code: 'FST_MLFLOW_SECURITY_USAGE', message }, command.join(' '))
  for (const options of [['--gunicorn-opts', '--timeout 60 --access-logfile -'], ['--uvicorn-opts', '--log-level debug'], ['--workers', '2']]) {
    t.doesNotThrow(() => parse([...server, ...options]), options.join(' '))
  }
})

t.test('no process groups on Windows', async t => {
  const { platform } = process
  t.teardown(() => Object.defineProperty(process, 'platform', { value: platform }))
  Object.defineProperty(process, 'platform', { value: 'win32' })
  t.throws(() => parse(['mlflow', 'server']), { message: /^-- COMMAND needs process groups, which Windows does not have\. Start the server yourself, and name it with --upstream\.$/ })
})

t.test('an address of its own has no effect', async t => {
  const of = (...args: string[]) => parse(['mlflow', 'server', ...args]).overruled
  t.strictSame(of(), [])
  t.strictSame(of('--host', '0.0.0.0', '-p', '80'), ['--host', '-p'])
  t.strictSame(of('--port=80', '-h0.0.0.0'), ['-h', '--port'])
  t.strictSame(parse(['serve', '--host', '0.0.0.0', '--port', '{port}']).overruled, [], 'of mlflow alone it is known')
})

t.test('its static prefix is the gateway\'s', async t => {
  const of = (args: string[], environment = {}) => parse(['mlflow', 'server', ...args], environment)
  t.equal(of([]).staticPrefix, undefined)
  t.equal(of(['--static-prefix', '/ml']).staticPrefix, '/ml')
  t.equal(of(['--static-prefix=/a', '--static-prefix', '/b'], { MLFLOW_STATIC_PREFIX: '/c' }).staticPrefix, '/b')
  t.equal(of([], { MLFLOW_STATIC_PREFIX: '/c' }).staticPrefix, '/c')
  t.equal(of(['--static-prefix']).staticPrefix, '', 'its value is missing: MLflow says so')
  t.equal(parse(['serve', '{port}'], { MLFLOW_STATIC_PREFIX: '/c' }).staticPrefix, undefined)
  t.strictSame(besideChild({}, of([])), { 'static-prefix': undefined })
  t.strictSame(besideChild({ 'static-prefix': '/x' }, of([])), { 'static-prefix': '/x' })
  t.strictSame(besideChild({}, of(['--static-prefix', '/ml'])), { 'static-prefix': '/ml' })
  t.strictSame(besideChild({ 'static-prefix': '/user/a%40b' }, of(['--static-prefix', '/user/a@b'])), { 'static-prefix': '/user/a%40b' }, 'the same in the address bar')
  t.throws(() => besideChild({}, of(['--static-prefix', '/user/a%40b'])), {
    code: 'FST_MLFLOW_SECURITY_USAGE', message: /^--static-prefix: mlflow decodes paths before it compares them, so "\/user\/a%40b" would never match\. After the --, write it without escapes\./
  })
  t.throws(() => besideChild({ 'static-prefix': '' }, of(['--static-prefix', '/ml'])), { message: /^--static-prefix: mlflow has "\/ml", but the gateway has ""/ })
})

t.test('the settings that the gateway checks are not in its environment', async t => {
  t.strictSame(childEnvironment({
    MLFLOW_SERVER_ALLOWED_HOSTS: 'a',
    MLFLOW_SERVER_CORS_ALLOWED_ORIGINS: 'b',
    MLFLOW_SERVER_X_FRAME_OPTIONS: 'c',
    MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: 'd',
    MLFLOW_BACKEND_STORE_URI: 'e',
    PATH: 'f'
  }), { MLFLOW_BACKEND_STORE_URI: 'e', PATH: 'f' })
})
