import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist', '.tap', 'coverage'] }),
  {
    rules: { '@stylistic/max-len': ['error', { code: 140, ignoreUrls: true, ignoreStrings: true, ignoreTemplateLiterals: true }] }
  },
  {
    files: ['examples/**/public/*.js'],
    languageOptions: { globals: { EventSource: 'readonly', location: 'readonly', document: 'readonly' } }
  },
  {
    files: ['**/*.ts'],
    rules: { '@typescript-eslint/no-explicit-any': 'error' }
  }
]
