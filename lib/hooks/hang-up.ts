import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Ends the connection of an upgrade that gets an ordinary answer. Node hands the socket of an upgrade over, and no longer
 * looks after it: without an end, such sockets would stay open as long as their pages like, and keep the server from
 * closing. Other requests are left alone.
 */
export function hangUpAfter ({ headers }: FastifyRequest, reply: FastifyReply): void {
  if (headers.upgrade === undefined) return
  reply.header('connection', 'close')
  reply.raw.once('finish', () => {
    const { socket } = reply.raw
    socket?.end(() => socket.destroy())
  })
}
