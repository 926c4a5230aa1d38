// Everything that comes from requests goes into the page as text.
import { attacksOn } from './attacks.js'

const VARIABLES = {
  allowedHosts: 'MLFLOW_SERVER_ALLOWED_HOSTS',
  corsAllowedOrigins: 'MLFLOW_SERVER_CORS_ALLOWED_ORIGINS',
  xFrameOptions: 'MLFLOW_SERVER_X_FRAME_OPTIONS',
  disableSecurityMiddleware: 'MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE'
}

const RULES = {
  disabled: 'Security is disabled, so nothing is checked.',
  'any-origin': 'corsAllowedOrigins has "*".',
  'listed-origin': 'The Origin is in corsAllowedOrigins.',
  'own-page': "The Origin is the server's own page.",
  'no-origin': 'There is no Origin, and nothing says that another site sent it.',
  'safe-method': 'The method only reads. CORS headers decide who may see the answer.',
  'exempt-route': 'The route has origin: false.'
}

const byId = id => document.getElementById(id)
const settings = byId('settings').elements
const request = byId('request').elements

function element (name, ...children) {
  const node = document.createElement(name)
  node.append(...children)
  return node
}

function button (children, onClick) {
  const node = element('button', ...children)
  node.type = 'button'
  node.addEventListener('click', onClick)
  return node
}

async function post (path, body) {
  const response = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const answer = await response.json()
  if (!response.ok) throw new Error(answer.message)
  return answer
}

async function loadSettings () {
  const inForce = await (await fetch('settings')).json()
  byId('in-force').replaceChildren(...Object.entries(inForce).map(([name, value]) =>
    element('tr', element('th', name), element('td', VARIABLES[name] ?? ''), element('td', inWords(value)))))
  for (const row of byId('in-force').rows) row.cells[0].scope = 'row'
  if (inForce.disableSecurityMiddleware) notice('Security is disabled: no Host or Origin is checked, no header is set, every request passes.')
  else if (inForce.reportOnly) notice('Report only: what would be refused is listed here, and goes on all the same.')

  // What a reset goes back to.
  for (const list of ['allowedHosts', 'corsAllowedOrigins']) settings[list].defaultValue = inForce[list].join(', ')
  for (const option of settings.xFrameOptions.options) option.defaultSelected = option.value === inForce.xFrameOptions
  settings.disableSecurityMiddleware.defaultChecked = inForce.disableSecurityMiddleware
  byId('settings').reset()
}

function notice (text) {
  byId('notice').textContent = text
  byId('notice').hidden = false
}

function inWords (value) {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

const whatIf = () => ({
  allowedHosts: settings.allowedHosts.value,
  corsAllowedOrigins: settings.corsAllowedOrigins.value,
  xFrameOptions: settings.xFrameOptions.value,
  disableSecurityMiddleware: settings.disableSecurityMiddleware.checked
})

async function checkSettings () {
  try {
    const { warnings } = await post('check', { settings: whatIf() })
    showProblems('warning', warnings)
  } catch ({ message }) {
    showProblems('refused', [message])
  }
}

function showProblems (kind, messages) {
  byId('problems').className = kind
  byId('problems').replaceChildren(...messages.map(message => element('p', message)))
}

const attacks = () => attacksOn(byId('server').value, settings.corsAllowedOrigins.value)

// Built once: a button that is replaced between press and release gets no click.
function showAttacks () {
  byId('attacks').replaceChildren(...attacks().map(({ name, about }, i) =>
    element('li', button([element('strong', name), element('small', about)], () => { fill(attacks()[i].request); send() }))))
}

function fill ({ method, host = '', origin = '', site = '', cookie = false, preflight = false, upgrade = false }) {
  for (const [name, value] of Object.entries({ method, host, origin, site })) request[name].value = value
  for (const [name, value] of Object.entries({ cookie, preflight, upgrade })) request[name].checked = value
}

const filledIn = () => ({
  method: request.method.value,
  cookie: request.cookie.checked,
  preflight: request.preflight.checked,
  upgrade: request.upgrade.checked,
  ...(request.host.value && { host: request.host.value }),
  ...(request.origin.value && { origin: request.origin.value }),
  ...(request.site.value && { site: request.site.value })
})

async function send () {
  try {
    const { sent, answer, verdict, warnings } = await post('try', { settings: whatIf(), request: filledIn() })
    showProblems('warning', warnings)
    show(verdict, sent, answer)
  } catch ({ message }) {
    showAnswer('refused', 'Nothing was sent', element('p', message))
  }
}

function show (verdict, sent, answer) {
  const wire = [element('h3', 'Sent'), element('pre', sent.trimEnd()), element('h3', 'Answered'), element('pre', answer.trimEnd())]
  // Node answers some malformed requests itself.
  if (verdict === undefined) showAnswer('refused', 'It is refused', element('p', 'Node refused it before the plugin saw it.'), ...wire)
  else if (verdict.allowed) showAnswer('passes', 'It passes', element('p', RULES[verdict.rule]), ...wire)
  else showAnswer('refused', refusedTitle(answer), element('p', verdict.message), ...adviceOn(verdict), ...wire)
}

function refusedTitle (answer) {
  return /^HTTP\/1\.1 40[03] /.test(answer) ? 'It is refused' : 'It would be refused, but goes on: report only'
}

function adviceOn ({ setting, entry }) {
  if (setting === undefined) return []
  return [button([`What if ${setting} has "${entry}" too?`], () => addEntry(setting, entry))]
}

async function addEntry (setting, entry) {
  settings[setting].value += `, ${entry}`
  await send()
}

function showAnswer (kind, title, ...details) {
  byId('answer').className = kind
  byId('answer').replaceChildren(element('strong', title), ...details)
  const { top } = byId('answer-heading').getBoundingClientRect()
  if (top < 0 || top > window.innerHeight / 2) byId('answer-heading').scrollIntoView()
}

function showRefusals () {
  const source = new EventSource('refusals')
  // Whenever the stream opens anew, the server begins with the last refusals again.
  source.addEventListener('open', () => {
    byId('refusals').replaceChildren()
    say('Nothing yet.')
  })
  source.addEventListener('error', () => say('The server does not answer. Trying again.'))
  source.addEventListener('message', ({ data }) => {
    byId('refusals').prepend(refusal(JSON.parse(data)))
    while (byId('refusals').childElementCount > 50) byId('refusals').lastElementChild.remove()
    say('')
  })
}

function refusal ({ at, method, url, host, origin, statusCode, code, reason, reportOnly }) {
  const date = new Date(at)
  const time = element('time', date.toLocaleTimeString())
  time.dateTime = date.toISOString()
  const headers = `Host ${host || 'missing'}${origin === undefined ? '' : `, Origin ${origin}`}${reportOnly ? ', let through' : ''}`
  return element('li',
    time, ' ', element('b', `${statusCode}`), ' ', element('code', `${method} ${url}`), ' ',
    element('small', headers), element('p', reason), element('small', element('code', code)))
}

function say (text) {
  byId('stream').textContent = text
  byId('stream').hidden = text === ''
}

byId('curl').textContent = `curl -H 'Host: evil.com' ${location.origin}`
showAttacks()
fill(attacks()[0].request)
byId('settings').addEventListener('change', checkSettings)
// The fields have their values back only after the event.
byId('settings').addEventListener('reset', () => setTimeout(checkSettings))
byId('settings').addEventListener('submit', event => event.preventDefault())
byId('request').addEventListener('submit', event => { event.preventDefault(); send() })
showRefusals()
loadSettings().catch(({ message }) => notice(`The settings do not load: ${message}`))
