// Ready-made requests, each as a browser or a script sends it to a server by this name.

/**
 * @param {string} server - the Host, as `10.0.0.5:5000`; the server speaks http
 * @param {string} corsAllowedOrigins - the setting, as it is written
 */
export function attacksOn (server, corsAllowedOrigins) {
  const [, name, port] = /^(.*?)(:\d+)?$/.exec(server)
  // Browsers send Sec-Fetch-Site to https and to this machine only.
  const says = site => /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(name) ? { site } : {}
  const own = `http://${server}`
  return [
    {
      name: 'A page on a rebound name',
      about: 'evil.com now points at your server. To the browser, reading it is no foreign request.',
      request: { method: 'GET', host: `evil.com${port ?? ''}` }
    },
    {
      name: "Another site's form",
      about: 'A page of evil.com posts a form, with the cookies that your server has set.',
      request: { method: 'POST', host: server, origin: 'http://evil.com', cookie: true, ...says('cross-site') }
    },
    {
      name: 'A neighbour on another port',
      about: 'A page of another service on the same machine.',
      request: { method: 'POST', host: server, origin: `http://${name}:8888`, ...says('same-site') }
    },
    {
      name: 'A sandboxed frame',
      about: 'Its Origin is null, whoever made it.',
      request: { method: 'POST', host: server, origin: 'null', ...says('cross-site') }
    },
    {
      name: 'A WebSocket from elsewhere',
      about: 'No preflight and no CORS header stop a page of evil.com from opening one.',
      request: { method: 'GET', host: server, origin: 'http://evil.com', upgrade: true }
    },
    {
      name: "Another site's preflight",
      about: 'Asks whether a page of evil.com may send JSON.',
      request: { method: 'OPTIONS', host: server, origin: 'http://evil.com', preflight: true, ...says('cross-site') }
    },
    {
      name: "An allowed app's preflight",
      about: 'The same question, from a page of the first allowed origin.',
      request: { method: 'OPTIONS', host: server, origin: exampleOf(corsAllowedOrigins), preflight: true, ...says('cross-site') }
    },
    {
      name: 'The own page',
      about: 'A click in your own UI.',
      request: { method: 'POST', host: server, origin: own, ...says('same-origin') }
    },
    {
      name: 'An SDK, or curl',
      about: 'A script sends no Origin.',
      request: { method: 'POST', host: server }
    }
  ]
}

/** @returns an Origin that the first entry of the list allows: `localhost:*` allows `http://localhost:8501` */
function exampleOf (list) {
  const [first = ''] = list.split(',').map(entry => entry.trim()).filter(entry => entry !== '')
  const entry = first === '@default' || first === '' ? 'localhost:*' : first
  const origin = entry.includes('://') || entry === 'null' ? entry : `http://${entry}`
  return origin.replace(/(?<=[^/]):\*$/, ':8501').replaceAll('*', 'app')
}
