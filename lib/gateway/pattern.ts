/** @returns the route that matches this very path: what the router takes for a parameter or a wildcard stands for itself */
export function routePattern (path: string): string {
  return path.split('/').map((segment, i) => segment.includes('*') ? starred(segment, i) : segment.replaceAll(':', '::')).join('/')
}

/** The router has no escape for a star outside an expression. */
function starred (segment: string, index: number): string {
  const expression = segment.replace(/[^A-Za-z0-9]/g, character => `\\x${character.charCodeAt(0).toString(16)}`)
  return `:mlflowSegment${index}(^${expression}$)`
}
