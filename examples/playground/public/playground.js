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

let goesOnAnyway = false

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
  goesOnAnyway = settings.reportOnly
  if (settings.disableSecurityMiddleware) notice('Security is disabled: no Host or Origin is checked, no header is set, every request passes.')
  else if (goesOnAnyway) notice('Report only: what would be refused is listed here, and goes on all the same.')
}

function notice (text) {
  byId('notice').textContent = text
  byId('notice').hidden = false
}

function inWords (value) {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

async function askForVerdict ({ method, host, origin, site, preflight, upgrade }) {
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
  if (!response.ok) show('refused', 'No verdict', answer.message)
  else if (answer.allowed) show('passes', 'It passes', `Because ${RULES[answer.rule]}.`)
  else show('refused', goesOnAnyway ? 'It would be refused, but goes on: report only' : 'It is refused', answer.message, facts(answer))
}

function show (kind, title, ...details) {
  byId('verdict').className = kind
  byId('verdict').replaceChildren(element('strong', title), ...details)
}

function facts ({ statusCode, code, setting, entry }) {
  const allowing = setting === undefined
    ? ['no setting']
    : [element('code', entry), ' in ', element('code', setting), ' (', element('code', VARIABLES[setting]), ')']
  return element('dl',
    element('dt', 'Status'), element('dd', `${statusCode}`),
    element('dt', 'Code'), element('dd', element('code', code)),
    element('dt', 'Allowed by'), element('dd', ...allowing))
}

function showRefusals () {
  const source = new EventSource('refusals')
  // The server sends those of before whenever the stream opens anew.
  source.addEventListener('open', () => {
    byId('refusals').replaceChildren()
    say('Nothing yet.')
  })
  source.addEventListener('error', () => say('The server does not answer. Trying again.'))
  source.addEventListener('message', ({ data }) => {
    const { at, method, url, host, origin, statusCode, code, reportOnly } = JSON.parse(data)
    const time = element('time', new Date(at).toLocaleTimeString())
    time.dateTime = at
    const request = element('code', `${method} ${url}`)
    const headers = element('small', `Host ${host || 'missing'}${origin === undefined ? '' : `, Origin ${origin}`}${reportOnly ? ', let through (report only)' : ''}`)
    byId('refusals').prepend(element('li', time, ' ', element('b', `${statusCode}`), ' ', request, element('br'), headers, element('br'), element('small', element('code', code))))
    while (byId('refusals').childElementCount > 50) byId('refusals').lastElementChild.remove()
    say('')
  })
}

function say (text) {
  byId('stream').textContent = text
  byId('stream').hidden = text === ''
}

byId('curl').textContent = `curl -H 'Host: evil.com' ${location.origin}`
byId('form').elements.host.value = location.host
byId('form').elements.origin.value = 'https://evil.com'
byId('form').addEventListener('submit', event => {
  event.preventDefault()
  askForVerdict(event.target.elements).catch(({ message }) => show('refused', 'No verdict', message))
})
showRefusals()
showSettings().catch(({ message }) => notice(`The settings do not load: ${message}`))
