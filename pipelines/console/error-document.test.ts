import { expect, test } from 'vitest'
import { UserError } from '../../configs/user-error.ts'
import { errorDocument, proposedCommand } from './error-document.ts'

test.each([
  ['No champion for "m". Run: fd models promote m 3', 'fd models promote m 3'],
  ['No topics yet. Run: fd produce --dataset simulated', 'fd produce --dataset simulated'],
  ['Nothing there.\nRun: fd services up kafka. Or wait.', 'fd services up kafka'],
  ['Set it: FD_JOB_QUEUE=redis://HOST:PORT fd worker', 'FD_JOB_QUEUE=redis://HOST:PORT fd worker'],
  ['No topic "x". There is none yet; fill one with: fd produce.', 'fd produce'],
  ['It has those of: a, b. Use: fd features verify --group a', 'fd features verify --group a'],
  ['Read on with: fd topics read t --from 7, or restore the file.', 'fd topics read t --from 7'],
  ['For example: fd models describe card-fraud@champion', 'fd models describe card-fraud@champion'],
  ['than this fd computes: add --sort', undefined],
  ['"a" is no number. Give one.', undefined],
])('%s proposes %s', (message, command) => {
  expect(proposedCommand(message)).toBe(command)
})

test('a bug is a document too, with code 2', () => {
  expect(errorDocument(new TypeError('x is undefined'))).toEqual({
    error: { message: 'This is a bug in fd: x is undefined', code: 2, next: null },
  })
  expect(errorDocument(new UserError('No. Run: fd doctor', { exitCode: 1 })).error).toMatchObject({
    code: 1,
    next: 'fd doctor',
  })
})
