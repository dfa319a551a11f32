import { expect, test } from 'vitest'
import { UNLABELLED } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { tellingFeatures } from './telling-features.ts'

const set = plantedSet({ rows: 4000, features: 4, frauds: 60, missing: 0.02, categories: 12 }, 1)
const all = Int32Array.from({ length: set.rows }, (_, row) => row)
const found = (some: TrainingSet, rows = all): string[] => tellingFeatures(some, rows).map(({ feature }) => feature)

/** The set with one column made from the label and the row. */
function withColumn(at: number, value: (label: number, row: number) => number): TrainingSet {
  const width = set.names.length
  return { ...set, x: set.x.map((old, i) => (i % width === at ? value(set.y[Math.floor(i / width)], i / width) : old)) }
}

test('honest features are not suspected', () => {
  expect(found(set)).toEqual([])
})

test.each<[string, (label: number, row: number) => number]>([
  ['the label', (label) => label],
  ['the label upside down', (label) => 1 - label],
  ['a number that is high for frauds', (label, row) => 3 * label + (row % 2)],
  ['one that only frauds have', (label, row) => (label === 1 ? row % 9 : Number.NaN)],
  ['one that only frauds lack', (label, row) => (label === 0 ? row % 9 : Number.NaN)],
])('%s is', (_, value) => {
  expect(tellingFeatures(withColumn(2, value), all)).toEqual([
    { feature: 'v2', averagePrecision: expect.closeTo(1, 10) as number },
  ])
})

test('a number that tells nearly all is not', () => {
  let missed = 0
  expect(found(withColumn(2, (label) => (label === 1 && missed++ % 12 === 0 ? 0 : label)))).toEqual([])
})

test('a category that goes with the label is, one of unique values is not', () => {
  expect(found(withColumn(4, (label, row) => (label === 1 ? 7 : 1 + (Math.floor(row) % 5))))).toEqual(['v4'])
  expect(found(withColumn(4, (_, row) => Math.floor(row) + 1))).toEqual([])
})

test('only the given rows count, and of these the labelled ones', () => {
  const telling = withColumn(2, (label) => label)
  const y = telling.y.map((label, row) => (row % 2 === 0 ? UNLABELLED : label))
  expect(found({ ...telling, y })).toEqual(['v2'])
  expect(found({ ...telling, y: new Uint8Array(set.rows).fill(UNLABELLED) })).toEqual([])
  expect(found(telling, all.subarray(0, 0))).toEqual([])
  const later = withColumn(2, (label, row) => (row < 2000 ? 1 - label : label * (row % 3)))
  expect(found(later, all.subarray(0, 2000))).toEqual(['v2'])
})

test('a handful of frauds may stand at the end of a feature by chance', () => {
  const telling = withColumn(2, (label) => label)
  const only = (frauds: number): TrainingSet => {
    let kept = 0
    return { ...telling, y: telling.y.map((label) => (label === 1 && kept++ < frauds ? 1 : 0)) }
  }
  const exact = (frauds: number): string[] => {
    const some = only(frauds)
    return found({ ...some, x: some.x.map((old, i) => (i % 5 === 2 ? some.y[Math.floor(i / 5)] : old)) })
  }
  expect([exact(4), exact(5)]).toEqual([[], ['v2']])
})
