import { aboutFlags, authorizeFlags, documentedFlags, gatewayFlags, requestFlags, targetFlags } from './flags.js'
import type { Flags } from './flags.js'
import { wrap } from './wrap.js'

const INDENT = ' '.repeat(6)

/** @returns the help page, at most 100 columns wide */
export function help (): string {
  return `Usage: fastify-mlflow-security --upstream URL [flags]
       fastify-mlflow-security [flags] -- mlflow server […]
       fastify-mlflow-security check [the same flags] --host-header VALUE [--origin VALUE] […]
       fastify-mlflow-security audit URL [settings] [--connect ADDRESS[:PORT]] [--json]
       fastify-mlflow-security authorize --dialect ENGINE [flags]

Protects an MLflow server against DNS rebinding, cross-origin requests and clickjacking. It is a
gateway that passes on what the settings allow. A flag overrides its environment variable, which
overrides the default. Separate the entries of a list with commas, or repeat the flag.

The settings of MLflow, by their documented names:

${describe(documentedFlags)}

The gateway:

${describe(gatewayFlags)}

${describe(aboutFlags)}

-- COMMAND: starts the MLflow server as well, on a free port of this machine, and ends it with the
gateway. The gateway appends --host and --port to mlflow server and mlflow ui. In any other command,
write {port} in place of the port: -- python -m mlflow server --host 127.0.0.1 --port {port}

check: would this request pass? Prints the verdict, the rule and the fix, and exits with 0
(allowed), 1 (refused) or 2 (wrong flags).

${describe(requestFlags)}

audit URL: would an attack get through? Replays harmless attacks against a running server, says
what got through and which setting closes it, and exits with 0 (no gap), 1 (gaps) or 2 (nothing
there, inconclusive, or wrong flags). Give the settings that the server should have.

${describe(targetFlags)}

authorize: makes the same decisions for nginx, Caddy, Traefik, Envoy or HAProxy. They ask before
each request, and carry the traffic themselves (docs/engines.md). Besides the settings of MLflow:

${describe(authorizeFlags)}

Examples:

  An MLflow server on this machine, for the people of a company:
      fastify-mlflow-security --upstream http://127.0.0.1:5000 --host 0.0.0.0 \\
        --allowed-hosts mlflow.company.com

  The same with one command, where MLflow is installed:
      fastify-mlflow-security --host 0.0.0.0 --allowed-hosts mlflow.company.com \\
        -- mlflow server --backend-store-uri sqlite:///mlflow.db

  A web app that calls it with credentials, and a notebook that embeds it:
      fastify-mlflow-security --upstream http://127.0.0.1:5000 \\
        --cors-allowed-origins https://app.company.com \\
        --frame-ancestors https://notebook.company.com

  Why is a request refused?
      fastify-mlflow-security check --allowed-hosts mlflow.lan --host-header mlflow.lan:8080 \\
        --method POST --origin http://mlflow.lan

  Is this server protected?
      fastify-mlflow-security audit http://mlflow.lan:5000
`
}

function describe (flags: Flags): string {
  return Object.entries(flags).map(([name, { value, help, variable, byDefault }]) => {
    const notes = [byDefault && `default: ${byDefault}`, variable].filter(note => note !== undefined)
    return `  --${name}${value === undefined ? '' : ` ${value}`}\n${wrap(`${help}${notes.length === 0 ? '' : ` [${notes.join('; ')}]`}`, INDENT, INDENT)}`
  }).join('\n')
}
