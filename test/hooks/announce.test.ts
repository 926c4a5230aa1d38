import t from 'tap'
import type { MlflowSecurityOptions } from '../../types/index.js'
import { createServer, warnings } from '../fixtures/server.js'
import { socketPath } from '../fixtures/sockets.js'

t.test('what is said at start', async t => {
  const cases: Array<[options: MlflowSecurityOptions, warnings: RegExp[]]> = [
    [{}, []],
    [{ allowedHosts: '*' }, [/^allowedHosts .* has "\*": host validation is off/]],
    [{ allowedHosts: '*.com' }, [/^allowedHosts .* has "\*\.com": anyone can register/]],
    [{ corsAllowedOrigins: '*' }, [/^corsAllowedOrigins .* has "\*": every site may call/]],
    [{ corsAllowedOrigins: 'null,https://*.com' }, [/"null": any page/, /"https:\/\/\*\.com": anyone/]],
    [{ allowedHosts: '*.co.uk,*.github.io,*.company.com' }, [/"\*\.co\.uk": anyone can register/, /"\*\.github\.io": anyone/]],
    [{ frameAncestors: 'https://*,https://*.vercel.app' }, [/^frameAncestors has "https:\/\/\*": anyone/, /"https:\/\/\*\.vercel\.app": anyone/]],
    [{ xFrameOptions: 'NONE' }, [/^xFrameOptions \(MLFLOW_SERVER_X_FRAME_OPTIONS\) is NONE without frameAncestors: every site may embed the pages$/]],
    [{ xFrameOptions: 'NONE', frameAncestors: 'https://a.com' }, []],
    [{ corsAllowedOrigins: 'file://' }, [/"file:\/\/": any local file/]],
    [{ reportOnly: true }, [/^reportOnly is on/]],
    [{ healthRoutes: '/health,/version,/*' }, [/^healthRoutes has "\/\*": everything that this route serves is served for every Host$/]],
    [{ disableSecurityMiddleware: true, allowedHosts: '*', reportOnly: true }, [/^Security is disabled by disableSecurityMiddleware \(MLFLOW_SERVER_DISABLE/]]
  ]
  for (const [options, expected] of cases) {
    const { app, lines } = createServer(t, options)
    await app.ready()
    t.equal(warnings(lines).length, expected.length, JSON.stringify(options))
    t.match(warnings(lines).map(({ msg }) => msg), expected)
    const informed = lines.filter(line => 'mlflowSecurity' in line)
    t.equal(informed.length, options.disableSecurityMiddleware === true ? 0 : 1)
    if (informed[0] !== undefined) t.match(informed[0].mlflowSecurity, { xFrameOptions: options.xFrameOptions ?? 'SAMEORIGIN', healthRoutes: ['/health', '/version'] })
  }
})

t.test('listening beyond this machine without host validation warns', async t => {
  const cases: Array<[options: MlflowSecurityOptions, host: string, warned: boolean]> = [
    [{ allowedHosts: '*' }, '0.0.0.0', true],
    [{ disableSecurityMiddleware: true }, '0.0.0.0', true],
    [{ allowedHosts: '*' }, '127.0.0.1', false],
    [{}, '0.0.0.0', false]
  ]
  for (const [options, host, warned] of cases) {
    const { app, lines } = createServer(t, options)
    await app.listen({ port: 0, host })
    const said = warnings(lines).filter(({ msg }) => msg.startsWith('Listening on'))
    const expected = { msg: 'Listening on 0.0.0.0 without host validation', addresses: ['0.0.0.0'] }
    t.match(said, warned ? [expected] : [], `${JSON.stringify(options)} on ${host}`)
    t.equal(said.length, warned ? 1 : 0)
  }
  const { app, lines } = createServer(t, { allowedHosts: '*' })
  await app.listen({ path: socketPath(t) })
  t.notOk(lines.some(({ msg }) => msg.startsWith('Listening on')), 'a Unix socket')
})
