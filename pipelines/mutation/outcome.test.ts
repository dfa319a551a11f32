import { expect, test } from 'vitest'
import { isGuarded, outcomeOf } from './outcome.ts'

const states = (noticed: number, survived: number): string[] => [
  ...Array.from({ length: noticed }, (_, n) => ['Killed', 'Timeout', 'RuntimeError'][n % 3]),
  ...Array.from({ length: survived }, (_, n) => ['Survived', 'NoCoverage'][n % 2]),
]

test.each([
  [90, 10, 90, true],
  [899, 101, 89.9, false],
  [1, 0, 100, true],
  [0, 3, 0, false],
  [0, 0, 0, false],
])('%d mutants noticed and %d not are %d %%: guarded %s', (noticed, survived, percent, guarded) => {
  const outcome = outcomeOf('s', [...states(noticed, survived), 'Ignored', 'CompileError'])
  expect(outcome).toMatchObject({ noticed, mutants: noticed + survived, percent })
  expect(isGuarded(outcome)).toBe(guarded)
})
