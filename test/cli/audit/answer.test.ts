import t from 'tap'
import { raw } from '../../fixtures/audit-servers.js'
import { auditFor } from '../../fixtures/audit.js'

t.test('answers in pieces, in chunks, after interim ones, without a length', async t => {
  const json = '{"experiments": [], "next_page_token": "x"}'
  const answers = [
    `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: ${json.length}\r\n\r\n${json}trailing`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n${json.slice(0, 5)}\r\n${(json.length - 5).toString(16)}\r\n${json.slice(5)}\r\n0\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${json.length.toString(16)}\r\n${json}\r\n`,
    `HTTP/1.0 200 OK\r\n\r\n${json}`
  ]
  for (const answer of answers) {
    const url = await raw(t, socket => {
      socket.setNoDelay(true)
      const write = (at: number): void => {
        if (at >= answer.length) socket.end()
        else socket.write(answer.slice(at, at + 20), () => setImmediate(write, at + 20))
      }
      write(0)
    })
    const { findings: [own] } = await auditFor(url)
    t.match(own, { id: 'own-address', verdict: 'held' }, answer)
  }
  const endless = await raw(t, socket => { socket.write(`HTTP/1.1 200 OK\r\n\r\n${' '.repeat(300 * 1024)}`) })
  t.match((await auditFor(endless)).findings[0], { verdict: 'inconclusive', evidence: /gets 200/ }, 'nobody waits for the end of a long answer')
})

t.test('a hostile target neither hangs the audit nor ends it', async t => {
  for (const answer of [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-6\r\n',
    'HTTP/1.1 100\r\n\r\n'.repeat(16_000),
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(300 * 1024)}`
  ]) {
    const isEndless = answer.length > 256 * 1024
    const url = await raw(t, socket => { if (isEndless) socket.write(answer); else socket.end(answer) })
    const { findings: [own] } = await auditFor(url, 30_000)
    t.match(own, { id: 'own-address', verdict: 'inconclusive' }, answer.slice(0, 60))
    if (isEndless) t.match(own?.evidence, /the answer is not HTTP\/1\.1/, 'nobody waits for the end of an endless head')
  }
})
