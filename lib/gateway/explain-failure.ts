import type { Upstream } from './options.js'
import { UPSTREAM_NAME } from './table.js'

const MEANWHILE = 'Until then requests get 502.'

/** Explains an error and names the flags. The codes are those of Node.js and OpenSSL (X509_verify_cert_error_string). */
export function explain (error: unknown, { origin, host, ca }: Pick<Upstream, 'origin' | 'host' | 'ca'>): string {
  const code = codeOf(error)
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${UPSTREAM_NAME}: the name in ${origin} does not resolve to an address. Is it spelt right, and does this machine know it? ${MEANWHILE}`
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return `${UPSTREAM_NAME}: ${origin} has a certificate that ${ca === undefined ? 'no well-known authority has' : 'nobody in the file of --upstream-ca has'} ` +
        `signed (${code}). Name the file with the certificate to trust: --upstream-ca FILE. ${MEANWHILE}`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'CERT_HAS_EXPIRED':
      return `${UPSTREAM_NAME}: the certificate of ${origin} is not valid for it (${reasonOf(error)}). Use a name that the certificate has, or renew it. ${MEANWHILE}`
    case 'EPROTO':
      return `${UPSTREAM_NAME}: ${origin} does not speak TLS. Is it http://${host}? ${MEANWHILE}`
    default:
      return `${UPSTREAM_NAME}: ${origin} does not answer (${code || reasonOf(error)}). Is the MLflow server running there?${wantsTls(origin, code) ? ` Does it want https://${host}?` : ''} ${MEANWHILE}`
  }
}

/** As {@link explain}, for one request. */
export function explainFailure (error: unknown, upstream: Pick<Upstream, 'origin' | 'host' | 'ca'>): string {
  const why = codeOf(error) === 'UND_ERR_HEADERS_TIMEOUT'
    ? `${UPSTREAM_NAME}: ${upstream.origin} has not begun its answer within the time of --upstream-timeout.`
    : explain(error, upstream).replace(` ${MEANWHILE}`, '')
  return `No answer from the upstream. ${why}`
}

/** A server that speaks TLS hangs up on http, or answers with an alert of TLS. */
function wantsTls (origin: string, code: string): boolean {
  return origin.startsWith('http:') && ['ECONNRESET', 'HPE_INVALID_CONSTANT'].includes(code)
}

function reasonOf (error: unknown): string {
  return String(error).replace(/^Error: /, '')
}

/** @returns the code of an error of Node.js, OpenSSL or undici. It is empty if there is none: an answer that is not HTTP has none */
export function codeOf (error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code ?? '') : ''
}
