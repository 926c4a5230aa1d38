#!/usr/bin/env node
// Old versions of Node must reach the message below. So this file uses old syntax only, and imports nothing before it.

/** As in package.json. */
const OLDEST = { major: 20, minor: 19 }

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < OLDEST.major || (major === OLDEST.major && minor < OLDEST.minor)) {
  process.stderr.write(`fastify-mlflow-security: Node.js ${OLDEST.major}.${OLDEST.minor} or later is needed, but this is ${process.versions.node}. Install a newer one: https://nodejs.org\n`)
  process.exit(2)
}

import('./cli/start.js').then(({ start }) => start(process.argv.slice(2)))
export {}
