import { MissingDependencyError } from './errors.js'

/**
 * Imports a package that only the gateway needs.
 *
 * @param name - the package
 * @param load - the `import()` of it
 * @throws FST_MLFLOW_SECURITY_MISSING_DEPENDENCY with the line that installs it
 */
export async function loadOptional<Module> (name: string, load: () => Promise<Module>): Promise<Module> {
  try {
    return await load()
  } catch (error) {
    if (!isMissing(error)) throw error
    throw new MissingDependencyError(`The gateway needs ${name}, which is not installed. Run npm install ${name}, or npm install --include=optional for everything that the gateway needs`)
  }
}

function isMissing (error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
}
