/**
 * Finds the name that was meant: `allowed-host`, `ALLOWED_HOSTS` and `allowedhosts` are `allowedHosts`.
 *
 * @param written - what somebody wrote
 * @param names - the names that there are
 * @returns `undefined` if none is similar
 */
export function findMeant<Name extends string> (written: string, names: readonly Name[]): Name | undefined {
  return names.find(name => plain(name) === plain(written))
}

/** @returns the name without case, punctuation and plural */
function plain (name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, '').replace(/s$/, '')
}
