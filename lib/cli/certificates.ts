import type { Server } from 'node:http'
import { Server as TlsServer, createSecureContext } from 'node:tls'
import { readFileSync } from 'node:fs'
import type { FastifyBaseLogger } from 'fastify'
import { quote } from '../grammar/quote.js'
import { UsageError } from './errors.js'

/** The files that --cert and --key name. */
export interface CertificateFiles { readonly cert: string, readonly key: string }

/** The contents of these files. */
export interface Certificate { readonly cert: Buffer, readonly key: Buffer }

/** @throws FST_MLFLOW_SECURITY_USAGE if a file cannot be read, or if the two are not a pair in PEM */
export function readCertificate (files: CertificateFiles): Certificate {
  const pair = { cert: readPem('cert', files.cert), key: readPem('key', files.key) }
  verifyPem('--cert and --key', 'a certificate and its key', () => createSecureContext(pair))
  return pair
}

/**
 * Reads certificate and key again, for new connections. A broken pair changes nothing.
 *
 * @param files - `undefined` if the gateway speaks http: then there is nothing to do
 */
export function reloadCertificate (server: Server, files: CertificateFiles | undefined, log: FastifyBaseLogger): void {
  if (files === undefined || !(server instanceof TlsServer)) return
  try {
    server.setSecureContext(readCertificate(files))
    log.info(`Certificate and key have been read again: ${files.cert}, ${files.key}`)
  } catch (error) {
    log.error(`Certificate and key stay as they were: ${reasonOf(error)}`)
  }
}

/** @throws FST_MLFLOW_SECURITY_USAGE */
export function readPem (flag: string, file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new UsageError(`--${flag}: ${quote(file)} cannot be read: ${reasonOf(error)}`)
  }
}

/**
 * Checks a certificate at start, so that nobody finds the mistake at the first connection.
 *
 * @throws FST_MLFLOW_SECURITY_USAGE
 */
export function verifyPem (flags: string, expected: string, use: () => unknown): void {
  try {
    use()
  } catch (error) {
    throw new UsageError(`${flags}: this is not ${expected} in PEM, the text form that begins with -----BEGIN: ${reasonOf(error)}`)
  }
}

function reasonOf (error: unknown): string {
  return String(error).replace(/^\w*Error( \[\w+\])?: /, '')
}
