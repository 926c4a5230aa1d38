/** @returns the route that matches exactly this path: parameters and wildcards of the router are escaped */
export function routePattern (path: string): string {
  return path.split('/').map((segment, i) => /[*%]/.test(segment) ? asExpression(segment, i) : segment.replaceAll(':', '::')).join('/')
}

/** In the router, only a regular expression can match a star as a character, or `%40` in a path. */
function asExpression (segment: string, index: number): string {
  const expression = decodeURIComponent(segment).replace(/[^A-Za-z0-9]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return `:mlflowSegment${index}(^${expression}$)`
}
