import t from 'tap'
import { createFrameAncestorsEditor, overrideFrameAncestors } from '../../lib/http/content-security-policy.js'

t.test("a route's own frameOptions go before the frame-ancestors of a plugin", async t => {
  const policy = "default-src 'self'; frame-ancestors 'self';img-src *"
  t.equal(overrideFrameAncestors(policy, 'NONE'), "default-src 'self';img-src *")
  t.equal(overrideFrameAncestors(policy, 'DENY'), "default-src 'self';frame-ancestors 'none';img-src *".replace("';f", "'; f"))
  t.equal(overrideFrameAncestors("frame-ancestors 'none'", 'SAMEORIGIN'), "frame-ancestors 'self'")
  t.equal(overrideFrameAncestors(["frame-ancestors 'self'", 'img-src *'], 'NONE'), 'img-src *')
  t.equal(overrideFrameAncestors(["frame-ancestors 'self'", 'img-src *'], 'DENY'), "frame-ancestors 'none', img-src *")
  t.equal(overrideFrameAncestors("frame-ancestors 'self'", 'NONE'), '')
  t.equal(overrideFrameAncestors("default-src 'self'", 'NONE'), undefined)
})

t.test('frame-ancestors is merged into the policy that the app sends', async t => {
  const directive = "frame-ancestors 'self' https://nb"
  const ancestors = createFrameAncestorsEditor(directive)
  const added: Array<[policy: string | string[] | undefined, expected: string]> = [
    [undefined, directive],
    ['', directive],
    ["default-src 'self'", `default-src 'self'; ${directive}`],
    ["default-src 'self'; ", `default-src 'self'; ${directive}`],
    ["default-src 'self'; Frame-Ancestors 'none'", "default-src 'self'; Frame-Ancestors 'none'"],
    ['frame-ancestors', 'frame-ancestors'],
    [["default-src 'self'", 'img-src *'], `default-src 'self', img-src *; ${directive}`]
  ]
  for (const [policy, expected] of added) t.equal(ancestors.addTo(policy), expected, `added to ${policy}`)
  t.equal(ancestors.replaceIn("default-src 'self';frame-ancestors 'self';img-src *"), `default-src 'self';${directive};img-src *`)
  t.equal(ancestors.replaceIn("frame-ancestors 'self', frame-ancestors https://a; img-src *"), `${directive}, ${directive}; img-src *`)
  for (const nobody of ["frame-ancestors 'none'", "frame-ancestors  'none'", 'frame-ancestors', 'frame-ancestors ; img-src *', 'frame-ancestors, img-src *']) {
    t.equal(ancestors.replaceIn(`default-src 'self'; ${nobody}`), undefined, `${nobody}: nobody means nobody`)
  }
  t.equal(ancestors.replaceIn("default-src 'self'; x-frame-ancestors a"), undefined)
  t.equal(ancestors.replaceIn(undefined), undefined)
})

t.test('the first frame-ancestors of a policy counts, as in browsers, and nothing that only looks like one', async t => {
  const directive = "frame-ancestors 'self' https://nb"
  const ancestors = createFrameAncestorsEditor(directive)
  const first = "frame-ancestors *; frame-ancestors 'none'"
  t.equal(ancestors.replaceIn(first), directive, 'everybody, not nobody')
  t.equal(ancestors.addTo(first), first)
  t.equal(ancestors.replaceIn("frame-ancestors 'none'; frame-ancestors *"), undefined, 'nobody means nobody')
  t.equal(overrideFrameAncestors(first, 'DENY'), "frame-ancestors 'none'")
  t.equal(overrideFrameAncestors(`img-src *; ${first}`, 'NONE'), 'img-src *')
  for (const policy of ['report-uri /r?frame-ancestors', 'report-uri /r?a=1&frame-ancestors=2', 'frame-ancestors-x a', "report-to frame-ancestors 'none'"]) {
    t.equal(ancestors.replaceIn(policy), undefined, policy)
    t.equal(ancestors.addTo(policy), `${policy}; ${directive}`)
    t.equal(overrideFrameAncestors(policy, 'DENY'), undefined)
  }
})
