import { createFrameAncestorsEditor } from '../http/content-security-policy.js'
import type { FrameAncestorsEditor } from '../http/content-security-policy.js'
import { createPolicy } from '../policy/policy.js'
import type { Policy } from '../policy/policy.js'
import { compileFrameAncestors } from '../rules/frame-ancestors.js'
import type { Wildcard } from '../rules/wildcards.js'
import { codedErrors } from '../settings/errors.js'
import type { Settings } from '../../types/index.js'

/** The settings, in the forms that the hooks need. */
export interface Compiled {
  readonly policy: Policy
  /** `undefined` if `frameAncestors` is empty. */
  readonly ancestors: FrameAncestorsEditor | undefined
  /** The wildcards of all lists. */
  readonly wildcards: readonly Wildcard[]
}

/** @throws FST_MLFLOW_SECURITY_INVALID_OPTION with the wrong entry and its fix */
export function compile (settings: Settings): Compiled {
  return codedErrors(() => {
    const policy = createPolicy(settings)
    const { directive, wildcards } = compileFrameAncestors(settings.frameAncestors)
    return {
      policy,
      ancestors: directive === undefined ? undefined : createFrameAncestorsEditor(directive),
      wildcards: [...policy.wildcards, ...wildcards]
    }
  })
}
