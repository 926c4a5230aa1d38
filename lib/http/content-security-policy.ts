import type { FrameOptions } from '../../types/index.js'

/** A Content-Security-Policy value, as a reply stores it. */
export type PolicyHeader = string | number | readonly string[] | undefined

/** Puts one frame-ancestors directive into the policies of others. */
export interface FrameAncestorsEditor {
  /** @returns the policy with our directive in place of its own; `undefined` if it has none, or if its own is 'none' */
  replaceIn (policy: PolicyHeader): string | undefined
  /** @returns the policy with our directive added if it has none of its own */
  addTo (policy: PolicyHeader): string
}

const OVERRIDES = { SAMEORIGIN: "frame-ancestors 'self'", DENY: "frame-ancestors 'none'", NONE: undefined }

/** @param directive - `frame-ancestors 'self' https://notebook.company.com` */
export function createFrameAncestorsEditor (directive: string): FrameAncestorsEditor {
  return {
    replaceIn: remember(policy => {
      const directives = split(policy).map(frameAncestorsOf).filter(found => found !== undefined)
      // If an app forbids all framing, that stands.
      return directives.length === 0 || directives.some(framesNobody) ? undefined : replaceAll(policy, directive)
    }),
    addTo: remember(policy => split(policy).some(hasFrameAncestors) ? policy : add(policy, directive))
  }
}

/** An app's policy is always the same, or has a nonce and is always new. So one remembered result is enough. */
function remember<Result> (compute: (policy: string) => Result): (policy: PolicyHeader) => Result {
  let known: { policy: string, result: Result } | undefined
  return header => {
    const policy = join(header)
    if (known?.policy !== policy) known = { policy, result: compute(policy) }
    return known.result
  }
}

/**
 * Replaces frame-ancestors by a route's own `frameOptions`.
 *
 * @returns the policy, empty if nothing is left of it; `undefined` if it has no frame-ancestors
 */
export function overrideFrameAncestors (header: PolicyHeader, frameOptions: FrameOptions): string | undefined {
  const policy = join(header)
  return split(policy).some(hasFrameAncestors) ? replaceAll(policy, OVERRIDES[frameOptions]) : undefined
}

function join (header: PolicyHeader): string {
  return header === undefined ? '' : [header].flat().join(', ')
}

/** One header may carry several policies, and browsers enforce each of them (CSP Level 3 §2.2.2). */
function split (policy: string): string[] {
  return policy.split(',').map(single => single.trim())
}

/** Browsers use the first directive of a name and ignore later ones (CSP Level 3 §2.2.1). */
function frameAncestorsOf (policy: string): string | undefined {
  return policy.split(';').find(isFrameAncestors)
}

function hasFrameAncestors (policy: string): boolean {
  return frameAncestorsOf(policy) !== undefined
}

function isFrameAncestors (directive: string): boolean {
  return /^\s*frame-ancestors(?=\s|$)/i.test(directive)
}

/** An empty list of sources means 'none' too. */
function framesNobody (directive: string): boolean {
  return /^\s*frame-ancestors\s*('none')?\s*$/i.test(directive)
}

/** @param directive - `undefined` to take the directive out */
function replaceAll (policy: string, directive: string | undefined): string {
  return split(policy).map(single => replace(single, directive)).filter(single => single !== '').join(', ')
}

/** The first directive is replaced in place. Later ones of the same name are removed. */
function replace (policy: string, directive: string | undefined): string {
  const first = policy.split(';').findIndex(isFrameAncestors)
  return policy.split(';')
    .map((text, i) => i === first && directive !== undefined ? text.replace(/\S.*/s, directive) : text)
    .filter((text, i) => !isFrameAncestors(text) || (i === first && directive !== undefined))
    .join(';')
}

function add (policy: string, directive: string): string {
  const rest = policy.replace(/[\s;]+$/, '')
  return rest === '' ? directive : `${rest}; ${directive}`
}
