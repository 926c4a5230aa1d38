/** @returns the route that matches exactly this path: parameters and wildcards of the router are escaped */
export function routePattern (path: string): string {
  return path.split('/').map((segment, i) => segment.includes('*') ? starred(segment, i) : segment.replaceAll(':', '::')).join('/')
}

/** The router has no escape for a star outside an expression. */
function starred (segment: string, index: number): string {
  const expression = segment.replace(/[^A-Za-z0-9]/g, character => `\\x${character.charCodeAt(0).toString(16)}`)
  return `:mlflowSegment${index}(^${expression}$)`
}
