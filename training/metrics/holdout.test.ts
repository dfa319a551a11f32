import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { DAY } from '../../datasets/table/transaction.ts'
import { subset, type TrainingSet } from '../../features/backfill/training-set.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { splitRows } from './holdout.ts'
import { alertThreshold } from './threshold.ts'

const FROM = Date.UTC(2024, 2, 4)
const RULE = {
  kind: 'delayed' as const,
  trainFrom: FROM,
  trainDays: 3,
  delayDays: 2,
  testDays: 4,
  cardEntity: 'customer',
}

/** A set whose rows fall at random times within `days` days. The first two days lie before the training. */
function spreadSet(seed: number, rows: number, days: number): TrainingSet {
  const random = randomStream(seed)
  const time = Float64Array.from({ length: rows }, () => FROM - 2 * DAY + random.uniform() * days * DAY).sort()
  return { ...plantedSet({ rows, features: 2, frauds: Math.floor(rows / 20) }, seed), time }
}

test('ordered: the first share trains, the rest tests', () => {
  const { train, test } = splitRows(plantedSet({ rows: 101, features: 2, frauds: 30 }, 1), {
    kind: 'ordered',
    trainShare: 0.7,
  })
  expect(Array.from(train)).toEqual(Array.from({ length: 70 }, (_, row) => row))
  expect(Array.from(test)).toEqual(Array.from({ length: 31 }, (_, row) => row + 70))
})

test.each([1, 2, 3])('delayed: equals the protocol day by day, with a growing set of known cards (seed %i)', (seed) => {
  const set = spreadSet(seed, 600, 13)
  const cards = set.cards ?? []
  const day = (row: number): number => Math.floor((set.time[row] - FROM) / DAY)
  const rows = Array.from({ length: set.rows }, (_, row) => row)
  const known = new Set(
    rows.filter((row) => day(row) >= 0 && day(row) < 3 && set.y[row] === 1).map((row) => cards[row]),
  )
  const expected: number[] = []
  for (let testDay = 5; testDay < 9; testDay++) {
    for (const row of rows) if (day(row) === testDay - 3 && set.y[row] === 1) known.add(cards[row])
    expected.push(...rows.filter((row) => day(row) === testDay && !known.has(cards[row])))
  }
  const split = splitRows(set, RULE)
  expect(Array.from(split.test)).toEqual(expected)
  expect(Array.from(split.train)).toEqual(rows.filter((row) => day(row) >= 0 && day(row) < 3))
  expect(expected.length).toBeLessThan(rows.filter((row) => day(row) >= 5 && day(row) < 9).length)
})

test('a part without frauds, without genuine rows or without rows is refused with its reason', () => {
  const set = plantedSet({ rows: 100, features: 2, frauds: 20 }, 1)
  const ordered = { kind: 'ordered' as const, trainShare: 0.7 }
  expect(() => splitRows({ ...set, y: new Uint8Array(100).fill(1, 0, 10) }, ordered)).toThrow(
    'The test part of the split has no fraud among its 30 rows; the data run from 1970-01-01T00:00:00.000Z',
  )
  expect(() => splitRows({ ...set, y: new Uint8Array(100).fill(1, 70) }, ordered)).toThrow(
    'The train part of the split has no fraud',
  )
  expect(() => splitRows({ ...set, y: new Uint8Array(100).fill(1) }, ordered)).toThrow(
    'nothing but frauds in its 70 rows',
  )
  expect(() => splitRows(set, RULE)).toThrow('The train part of the split has no rows')
  expect(() => splitRows(subset(set, new Int32Array(0)), ordered)).toThrow('have no labelled rows')
  expect(() => splitRows({ ...set, cards: undefined }, RULE)).toThrow('fd train --split ordered')
})

test('a subset copies rows in the order given, keys of both kinds', () => {
  const set = {
    ...plantedSet({ rows: 10, features: 2, frauds: 3 }, 1),
    ids: Array.from({ length: 10 }, (_, row) => `t${row}`),
  }
  const part = subset(set, Int32Array.of(7, 2))
  expect(part.ids).toEqual(['t7', 't2'])
  expect(Array.from(part.x)).toEqual([set.x[14], set.x[15], set.x[4], set.x[5]])
  expect([part.rows, part.y[0], part.time[1], part.cards?.[0]]).toEqual([2, set.y[7], set.time[2], set.cards?.[7]])
})

/** The next float32 above, found by trying ever smaller steps. */
function nextFloat(value: number): number {
  let next = value + 1
  for (let step = 1; step > 1e-12; step /= 2)
    if (Math.fround(value + step) > value) next = Math.min(next, Math.fround(value + step))
  return next
}

test.each([1, 2, 3, 4])('the alert threshold is the lowest score within the budget (seed %i)', (seed) => {
  const random = randomStream(seed)
  const scores = Float32Array.from({ length: 500 }, () => Math.round(random.uniform() * 60) / 60)
  for (const days of [0.25, 1, 2.5]) {
    for (const alertsPerDay of [1, 10, 40, 100, 5000]) {
      const budget = Math.max(1, Math.round(alertsPerDay * days))
      const alerts = (threshold: number): number => scores.filter((score) => score >= threshold).length
      const allowed = [...scores].filter((score) => alerts(score) <= budget)
      const threshold = alertThreshold(scores, days, alertsPerDay)
      expect(threshold).toBe(allowed.length > 0 ? Math.min(...allowed) : nextFloat(Math.max(...scores)))
      expect(Math.fround(threshold)).toBe(threshold)
    }
  }
})

test('when the highest scores tie beyond the budget the threshold is the next float above them', () => {
  expect(alertThreshold(Float32Array.of(0.5, 0.5, 0.1), 0, 1)).toBe(0.5 + 2 ** -24)
  expect(alertThreshold(Float32Array.of(0, 0, 0), 0, 1)).toBe(2 ** -149)
  expect(alertThreshold(Float32Array.of(-2, -2, -2), 0, 1)).toBe(-2 + 2 ** -23)
  expect(alertThreshold(Float32Array.of(0.5, 0.4, 0.1), 0, 1)).toBe(0.5)
})
