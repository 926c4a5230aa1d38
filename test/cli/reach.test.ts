import { hostname, networkInterfaces } from 'node:os'
import t from 'tap'
import { announceReach, describeReach, ownAddresses } from '../../lib/cli/reach.js'
import { createGateway } from '../../lib/gateway.js'
import type { GatewayOptions } from '../../lib/gateway.js'
import { createApp, logTo } from '../fixtures/server.js'
import { certificate } from '../fixtures/upstream.js'

const OTHERS = 'Other names and addresses are refused until they are allowed: --allowed-hosts'

t.test('it says by which addresses people reach a gateway, and what to add for the others', async t => {
  const gateway = createGateway({ upstream: 'http://127.0.0.1:1' })
  t.teardown(() => gateway.close())
  await gateway.ready()
  const bind = (address: string, port: number) => { gateway.server.address = () => ({ address, port, family: '' }) }
  const cases: Array<[address: string, port: number, name: string, said: string]> = [
    ['192.168.1.5', 8080, 'gw', `People can use http://192.168.1.5:8080. ${OTHERS} "@default,gw"`],
    ['fd00::5', 8080, 'gw', `People can use http://[fd00::5]:8080. ${OTHERS} "@default,gw"`],
    ['203.0.113.5', 8080, 'gw.company.com', `People can use no address of this machine. ${OTHERS} "@default,203.0.113.5,gw.company.com"`],
    ['2001:db8::5', 8080, '2001:db8::5', `People can use no address of this machine. ${OTHERS} "@default,[2001:db8::5]"`],
    ['10.0.0.1', 80, 'localhost', `People can use http://10.0.0.1:80, http://localhost:80. ${OTHERS} "@default,mlflow.company.com"`],
    ['10.0.0.1', 80, 'no name', `People can use http://10.0.0.1:80. ${OTHERS} "@default,mlflow.company.com"`]
  ]
  for (const [address, port, name, said] of cases) {
    bind(address, port)
    t.equal(describeReach(gateway, 'http', name), said)
    t.equal(describeReach(gateway, 'https', name), said.replaceAll('http:', 'https:'))
  }
  bind('192.168.1.5', 1)
  t.match(describeReach(gateway, 'http'), new RegExp(`"@default(,${hostname()}|,mlflow\\.company\\.com)"$`, 'i'), 'by the name of the machine')
})

t.test('on every address, those of the network interfaces are named', async t => {
  t.strictSame(ownAddresses(), Object.values(networkInterfaces()).flat())
  const gateway = createGateway({ upstream: 'http://127.0.0.1:1', allowedHosts: '*' })
  t.teardown(() => gateway.close())
  await gateway.ready()
  const others = ownAddresses().filter(({ internal, address }) => !internal && !address.startsWith('fe80:'))
  const inBrackets = (address: string) => address.includes(':') ? `[${address}]` : address
  for (const [address, own] of [['0.0.0.0', others.filter(({ family }) => family === 'IPv4')], ['::', others]] as const) {
    gateway.server.address = () => ({ address, port: 8080, family: '' })
    const urls = ['localhost', ...own.map(({ address }) => inBrackets(address)), 'gw'].map(host => `http://${host}:8080`)
    t.equal(describeReach(gateway, 'http', 'gw'), `People can use ${urls.join(', ')}. ${OTHERS} "@default,mlflow.company.com"`)
  }
})

t.test('nothing is said where only this machine can reach it', async t => {
  const { app } = createApp(t)
  t.equal(describeReach(app, 'http'), undefined, 'not listening')
  for (const address of ['127.0.0.1', '127.8.0.1', '::1']) {
    app.server.address = () => ({ address, port: 8080, family: '' })
    t.equal(describeReach(app, 'http'), undefined, address)
  }
  app.server.address = () => '/run/gateway.sock'
  t.equal(describeReach(app, 'http'), undefined)
})

t.test('it is said at the start, where nobody has made a list of hosts', async t => {
  const said = async (options: GatewayOptions, address: string) => {
    const { logger, lines } = logTo()
    const gateway = createGateway({ upstream: 'http://127.0.0.1:1', ...options, fastify: { logger } })
    t.teardown(() => gateway.close())
    await gateway.ready()
    lines.length = 0
    gateway.server.address = () => ({ address, port: 8080, family: '' })
    announceReach(gateway, options)
    return lines.map(({ level, msg }) => `${level} ${msg}`)
  }
  t.match(await said({}, '10.0.0.1'), [/^30 People can use http:\/\/10\.0\.0\.1:8080/])
  t.match(await said({ tls: certificate() }, '10.0.0.1'), [/^30 People can use https:\/\/10\.0\.0\.1:8080/])
  t.strictSame(await said({}, '127.0.0.1'), [])
  t.strictSame(await said({ allowedHosts: '@default,mlflow.company.com' }, '10.0.0.1'), [])
})
