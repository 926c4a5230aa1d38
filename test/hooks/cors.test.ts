import Fastify from 'fastify'
import t from 'tap'
import mlflowSecurity from '../../lib/index.js'

type Hook = (request: object, reply: object, next: () => void) => void
interface Instance { addHook (name: string, hook: Hook): void }

t.test('a version of @fastify/cors that works otherwise fails loudly, and opens nothing', async t => {
  const withCors = async (cors: (instance: Instance) => void) => {
    const { createCors } = await t.mockImport<typeof import('../../lib/hooks/cors.js')>('../../lib/hooks/cors.js', { '@fastify/cors': cors })
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(mlflowSecurity)
    const policy = { warnings: [], wildcards: [], validatesHost: true, allowsAnyOrigin: false, inspect: () => app.mlflowSecurity.inspect({ headers: {} }), corsAccess: () => 'listed' as const }
    const answer = createCors(app.mlflowSecurity.settings, policy, { of: () => ({}), corsOf: () => undefined })
    app.get('/', (request, reply) => answer(request, reply))
    return app.inject({ url: '/', headers: { origin: 'https://a' } })
  }
  const message = 'This version of @fastify/cors has not one onRequest handler'
  await t.rejects(withCors(() => {}), { message })
  await t.rejects(withCors(instance => { for (let i = 0; i < 2; i++) instance.addHook('onRequest', () => {}) }), { message })
  const late = await withCors(instance => instance.addHook('onRequest', (_request, _reply, next) => { setImmediate(next) }))
  t.match(late.json(), { statusCode: 500, message: 'This version of @fastify/cors does not come back at once' })
})
