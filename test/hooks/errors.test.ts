import t from 'tap'
import { CodedTransferError, LoopError } from '../../lib/gateway/errors.js'
import { HostNotAllowedError } from '../../lib/hooks/errors.js'

t.test('an error that a request can cause captures no stack, which would make a flood of them dear', async t => {
  for (const error of [new HostNotAllowedError('refused'), new LoopError(), new CodedTransferError()]) t.notMatch(error.stack, /\n +at /, error.code)
})
