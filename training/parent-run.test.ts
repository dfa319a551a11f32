import { expect, test } from 'vitest'
import type { Run } from '../registry/model.ts'
import { chosenRun, selectionValue } from './parent-run.ts'

const run = (runId: string, value?: number): Run => ({
  runId,
  runName: runId,
  experimentId: '0',
  startTime: 0,
  artifactUri: '',
  params: {},
  // What a run did on the test rows has no part in the choice.
  metrics: { average_precision: 1, ...(value === undefined ? {} : { selection_average_precision: value }) },
  tags: {},
  status: 'FINISHED',
  endTime: 1,
})

test.each([
  [['a', 0.5], ['b', 0.7], ['c', 0.6], 'b'],
  [['a', 0.5], ['b', 0.5], ['c', 0.5], 'a'],
  [['a', Number.NaN], ['b', 0.1], ['c', Number.NaN], 'b'],
  [['a', 0.1], ['b', Number.NaN], ['c', 0.1], 'a'],
  [['a', undefined], ['b', 0], ['c', undefined], 'b'],
] as const)('of %j, %j and %j, %s is chosen', (...given) => {
  const [a, b, c, chosen] = given
  expect(chosenRun([a, b, c].map(([id, value]) => run(id, value)))?.runId).toBe(chosen)
})

test('without a figure there is no choice', () => {
  expect(chosenRun([])).toBeUndefined()
  expect(chosenRun([run('a'), run('b', Number.NaN)])).toBeUndefined()
  expect(selectionValue(run('a', Number.NaN))).toBe(-Infinity)
})
