import { expect, test } from 'vitest'
import { DAY, UNLABELLED } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { budgetRow, budgetTable } from './budgets.ts'

/** Two days; frauds of 10.00, 30.00 and 60.00. */
const y = Uint8Array.of(1, 0, 1, 0, 1, 0)
const set: TrainingSet = {
  names: [],
  categorical: [],
  rows: 6,
  x: new Float32Array(0),
  y,
  time: Float64Array.of(0, 1, 2, 3, 4, 2 * DAY),
  amounts: Float64Array.of(1000, 9999, 3000, 1, 6000, 5),
  ids: Float64Array.from(y.keys()),
}
const scores = Float32Array.of(1, 0.875, 0.75, 0.5, 0.25, 0.125)

test('a row says alerts, precision, recall and money at its threshold', () => {
  expect(budgetRow(set, scores, 0.75)).toEqual({
    threshold: 0.75,
    alertsPerDay: 1.5,
    precision: 2 / 3,
    recall: 2 / 3,
    preventedPerDay: 2000,
    prevented: 0.4,
  })
  const [one, two, all] = budgetTable(set, scores, [0.5, 1, 3])
  expect([one.threshold, one.precision, one.prevented]).toEqual([1, 1, 0.1])
  expect([two.threshold, two.precision, two.recall]).toEqual([0.875, 0.5, 1 / 3])
  expect([all.threshold, all.recall, all.prevented]).toEqual([0.125, 1, 1])
})

test('a row without a label is an alert, but neither right nor wrong; without any there is nothing to say', () => {
  const some = { ...set, y: Uint8Array.of(1, UNLABELLED, 1, 0, 1, 0) }
  expect(budgetRow(some, scores, 0.75)).toMatchObject({ alertsPerDay: 1.5, precision: 1, recall: 2 / 3 })
  const none = { ...set, y: new Uint8Array(6).fill(UNLABELLED) }
  expect(budgetRow(none, scores, 0.75)).toEqual({ threshold: 0.75, alertsPerDay: 1.5 })
  const { amounts: _, ...without } = set
  expect(budgetRow(without, scores, 0.75)).not.toHaveProperty('prevented')
})
