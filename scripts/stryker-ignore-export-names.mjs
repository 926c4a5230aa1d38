import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin'

/** The name in `export { plugin as 'module.exports' }` is no expression: a mutant cannot be placed there. */
export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, 'export-names', {
    shouldIgnore: path => path.parentPath?.isExportSpecifier() ? 'a name, not a value' : undefined
  })
]
