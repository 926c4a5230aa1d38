import t from 'tap'
import { ignoredVariables } from '../../lib/cli/ignored-variables.js'

t.test('a variable that a flag overrules is said to be ignored', async t => {
  const hosts = { MLFLOW_SERVER_ALLOWED_HOSTS: 'a.com, b.com' }
  for (const [values, environment, lines] of [
    [{ 'allowed-hosts': ['c.com'] }, hosts, ['--allowed-hosts is used, MLFLOW_SERVER_ALLOWED_HOSTS is ignored']],
    [{ 'allowed-hosts': ['a.com', 'b.com'] }, hosts, []],
    [{}, hosts, []],
    [{ 'allowed-hosts': ['c.com'] }, { MLFLOW_SERVER_ALLOWED_HOSTS: '' }, []],
    [{ 'allowed-hosts': ['c.com'] }, {}, []],
    [{ 'x-frame-options': 'deny' }, { MLFLOW_SERVER_X_FRAME_OPTIONS: 'DENY' }, []],
    [{ 'disable-security-middleware': true }, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: '1' }, []],
    [{ 'disable-security-middleware': true }, { MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE: 'false' }, [
      '--disable-security-middleware is used, MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE is ignored'
    ]]
  ] as const) t.strictSame(ignoredVariables(values, environment), lines, JSON.stringify([values, environment]))
})
