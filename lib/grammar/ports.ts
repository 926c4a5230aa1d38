/** The port of an entry that allows every port. */
export const ANY_PORT = -2

/** The ports on which an entry allows a host: 0 to 65535, `NO_PORT` or {@link ANY_PORT}. */
export type Ports = Set<number>

export function hasPort (ports: Ports | undefined, port: number): boolean {
  return ports !== undefined && (ports.has(ANY_PORT) || ports.has(port))
}
