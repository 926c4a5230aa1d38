import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Ends the connection of an upgrade that gets an ordinary answer. Node gives up control of an upgrade's socket. Without this,
 * such a socket would stay open until the page closes it, and keep the server from closing. Other requests are left alone.
 */
export function endUpgrade ({ headers }: FastifyRequest, reply: FastifyReply): void {
  if (headers.upgrade === undefined) return
  reply.header('connection', 'close')
  reply.raw.once('finish', () => {
    const { socket } = reply.raw
    socket?.end(() => socket.destroy())
  })
}
