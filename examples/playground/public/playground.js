// Everything that comes from requests goes into the page as text.
const VARIABLES = {
  allowedHosts: 'MLFLOW_SERVER_ALLOWED_HOSTS',
  corsAllowedOrigins: 'MLFLOW_SERVER_CORS_ALLOWED_ORIGINS',
  xFrameOptions: 'MLFLOW_SERVER_X_FRAME_OPTIONS',
  disableSecurityMiddleware: 'MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE'
}

const RULES = {
  disabled: 'security is disabled, so nothing is checked',
  'any-origin': 'corsAllowedOrigins has "*"',
  'listed-origin': 'the Origin is in corsAllowedOrigins',
  'own-page': "the Origin is the server's own page",
  'no-origin': 'there is no Origin, and nothing says that another site sent it',
  'safe-method': 'the method only reads; CORS headers decide who may see the answer',
  'exempt-route': 'the route has origin: false'
}

const byId = id => document.getElementById(id)

function element (name, ...children) {
  const node = document.createElement(name)
  node.append(...children)
  return node
}

async function showSettings () {
  const settings = await (await fetch('settings')).json()
  byId('settings').replaceChildren(...Object.entries(settings).map(([name, value]) =>
    element('tr', element('th', name), element('td', VARIABLES[name] ?? ''), element('td', inWords(value)))))
  for (const row of byId('settings').rows) row.cells[0].scope = 'row'
}

function inWords (value) {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

async function askForVerdict (event) {
  event.preventDefault()
  const { method, host, origin, site, preflight, upgrade } = event.target.elements
  const response = await fetch('verdict', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      method: method.value,
      preflight: preflight.checked,
      upgrade: upgrade.checked,
      ...(host.value && { host: host.value }),
      ...(origin.value && { origin: origin.value }),
      ...(site.value && { site: site.value })
    })
  })
  const answer = await response.json()
  showVerdict(response.ok ? answer : { allowed: false, statusCode: response.status, code: answer.code, message: answer.message })
}

function showVerdict (verdict) {
  const [title, detail] = verdict.allowed
    ? ['It passes.', `Because ${RULES[verdict.rule]}.`]
    : [`It is refused: ${verdict.statusCode} ${verdict.code}`, verdict.message]
  byId('verdict').className = verdict.allowed ? 'passes' : 'refused'
  byId('verdict').replaceChildren(element('strong', title), detail)
}

function showRefusals () {
  const source = new EventSource('refusals')
  // The server sends those of before whenever the stream opens anew.
  source.addEventListener('open', () => byId('refusals').replaceChildren())
  source.addEventListener('message', ({ data }) => {
    const { at, method, url, host, origin, statusCode, code, reportOnly } = JSON.parse(data)
    const time = element('time', new Date(at).toLocaleTimeString())
    time.dateTime = at
    const request = element('code', `${method} ${url}`)
    const headers = element('small', `Host ${host || 'missing'}${origin === undefined ? '' : `, Origin ${origin}`}${reportOnly ? ', let through (report only)' : ''}`)
    byId('refusals').prepend(element('li', time, ' ', element('b', `${statusCode}`), ' ', request, element('br'), headers, element('br'), element('small', code)))
    while (byId('refusals').childElementCount > 50) byId('refusals').lastElementChild.remove()
    byId('nothing').hidden = true
  })
}

byId('curl').textContent = `curl -H 'Host: evil.com' ${location.origin}`
byId('form').elements.host.value = location.host
byId('form').elements.origin.value = 'https://evil.com'
byId('form').addEventListener('submit', askForVerdict)
showRefusals()
await showSettings()
