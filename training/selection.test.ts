import { expect, test } from 'vitest'
import { subset } from '../features/backfill/training-set.ts'
import { trainCandidate, type CandidateRequest } from './candidate.ts'
import { splitRows } from './metrics/holdout.ts'
import { trainForSelection } from './selection.ts'
import { plantedSet } from './testing/planted-set.ts'

const set = plantedSet({ rows: 4000, features: 4, frauds: 200 }, 1)
const request: CandidateRequest = {
  estimator: 'boosting',
  params: { rounds: 10 },
  split: { kind: 'ordered', trainShare: 0.7 },
  seed: 1,
  alertsPerDay: 20,
}
const proceed = () => true

test('a choice is made on the latest training rows, as a candidate is judged on its test rows', async () => {
  const { train } = splitRows(set, request.split)
  const split = { kind: 'ordered', trainShare: 0.8 } as const
  const { metrics, ...same } = await trainCandidate(subset(set, train), { ...request, split }, proceed)
  const { metrics: chosen, ...own } = await trainForSelection(set, request, proceed)
  expect(own).toEqual(same)
  expect(chosen).toEqual(
    Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`selection_${name}`, value])),
  )
})

test('nothing of the test rows enters it', async () => {
  const { train } = splitRows(set, request.split)
  const others = { ...set, x: set.x.slice(), y: set.y.slice() }
  others.x.fill(7, train.length * set.names.length)
  others.y.fill(0, train.length).fill(1, 3999)
  const [one, other] = [
    await trainForSelection(set, request, proceed),
    await trainForSelection(others, request, proceed),
  ]
  expect(other).toEqual(one)
})

test.each([
  ['the rows of the choice', (row: number) => row >= 2240 && row < 2800],
  ['the rows before', (row: number) => row < 2240],
])('without frauds in %s there is no choice', async (_, calm) => {
  const y = set.y.map((label, row) => (calm(row) ? 0 : label))
  await expect(trainForSelection({ ...set, y }, request, proceed)).rejects.toThrow(
    'Several candidates are ranked on the latest 20 % of the training rows, and there a class is missing',
  )
})
