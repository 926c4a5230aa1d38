/** Takes the question out of a file of an engine's example. */
export function withoutQuestion (name: 'nginx' | 'caddy' | 'haproxy' | 'traefik' | 'envoy', text: string): string
