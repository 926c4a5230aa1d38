// The examples of the engines without what asks authorize, and nothing else changed.
const REMOVE = {
  nginx: text => text.replace('auth_request /_authorize;', ''),
  caddy: text => text.replace(/\t\treverse_proxy 127\.0\.0\.1:\d+ \{\n\t\t\timport question\n\n[\s\S]*?\n\t\t\}\n/, ''),
  haproxy: text => text.replace(/^ {2}http-request (lua\.authorize|deny .*)$/gm, ''),
  traefik: text => text.replace(/\[authorize, /g, '['),
  envoy: text => text.replace(/ {18}- name: envoy\.filters\.http\.ext_authz[\s\S]*?(?= {18}- name: envoy\.filters\.http\.router)/, '')
    .replace(/ {26}typed_per_filter_config:\n(?: {28}.*\n)+/, '')
}

/**
 * Takes the question out of an engine's configuration.
 *
 * @param name the engine, as in examples/engines
 * @param text one of its files
 */
export function withoutQuestion (name, text) {
  return REMOVE[name](text)
}
