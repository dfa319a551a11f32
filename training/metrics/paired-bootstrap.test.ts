import { describe, expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { averagePrecision } from './metrics.ts'
import { differenceInterval } from './paired-bootstrap.ts'

/** Labels with a share of frauds, and scores that see through them so far. Few values, so that rows tie. */
function planted(rows: number, seed: number): { y: Uint8Array; scores: (sight: number, seed: number) => Float32Array } {
  const random = randomStream(seed)
  const y = Uint8Array.from({ length: rows }, () => (random.uniform() < 0.05 ? 1 : 0))
  return {
    y,
    scores: (sight, own) => {
      const noise = randomStream(seed, own)
      return Float32Array.from(y, (label) => Math.round(8 * (sight * label + noise.normal(0, 1))) / 8)
    },
  }
}

/** The bootstrap as it is defined: gathers the rows of the drawn units, and sorts each resample anew. */
function naiveInterval(one: Float32Array, other: Float32Array, y: Uint8Array, seed: number, units: number[]) {
  const random = randomStream(seed)
  const keys = [...new Set(units)]
  const rowsOf = Map.groupBy(y.keys(), (row) => units[row])
  const differences: number[] = []
  while (differences.length < 1000) {
    const rows = keys.flatMap(() => rowsOf.get(keys[random.integer(keys.length)]) ?? [])
    const labels = Uint8Array.from(rows, (row) => y[row])
    if (!labels.includes(0) || !labels.includes(1)) continue
    const of = (scores: Float32Array): number =>
      averagePrecision(
        Float32Array.from(rows, (row) => scores[row]),
        labels,
      )
    differences.push(of(one) - of(other))
  }
  differences.sort((a, b) => a - b)
  return [differences[25], differences[974]]
}

test.each([[20], [90]])('the interval is that of the naive bootstrap, of rows and of units (%d rows)', (rows) => {
  const { y, scores } = planted(rows, rows)
  const [one, other] = [scores(1, 1), scores(0.5, 2)]
  const units = Array.from(y.keys(), (row) => Math.floor((row * row) / 3) % 7)
  for (const [given, of] of [
    [undefined, [...y.keys()]],
    [Float64Array.from(units), units],
    [units.map((unit) => `card ${unit}`), units],
  ] as const) {
    const [low, high] = differenceInterval(one, other, y, 3, given)
    const [least, most] = naiveInterval(one, other, y, 3, [...of])
    expect(low).toBeCloseTo(least, 10)
    expect(high).toBeCloseTo(most, 10)
  }
})

test('alike transactions of one card are no more evidence than one of them', () => {
  const { y, scores } = planted(300, 4)
  const copies = <T extends Float32Array | Uint8Array>(column: T): T => {
    const copied = new (column.constructor as new (length: number) => T)(5 * column.length)
    for (let i = 0; i < copied.length; i++) copied[i] = column[i % column.length]
    return copied
  }
  const [one, other] = [scores(2, 1), scores(1.5, 2)]
  const cards = Float64Array.from({ length: 1500 }, (_, row) => row % 300)
  const single = differenceInterval(one, other, y, 1)
  const width = ([low, high]: [number, number]): number => high - low
  expect(differenceInterval(copies(one), copies(other), copies(y), 1, cards)).toEqual(
    single.map((end) => expect.closeTo(end, 10) as number),
  )
  expect(width(differenceInterval(copies(one), copies(other), copies(y), 1))).toBeLessThan(0.6 * width(single))
})

test('rows of one class have no interval', () => {
  const scores = Float32Array.of(1, 2)
  for (const label of [0, 1]) {
    expect(() => differenceInterval(scores, scores, new Uint8Array(2).fill(label), 1)).toThrow('both classes')
  }
})

describe('what the gate rests on', () => {
  const { y, scores } = planted(20_000, 7)
  const champion = scores(1.5, 100)

  test('the luckiest of 8 seeds leads on the rows, and is not called better', () => {
    const seeds = Array.from({ length: 8 }, (_, seed) => scores(1.5, seed))
    const best = seeds.toSorted((a, b) => averagePrecision(b, y) - averagePrecision(a, y))[0]
    expect(averagePrecision(best, y)).toBeGreaterThan(averagePrecision(champion, y) + 0.002)
    expect(differenceInterval(best, champion, y, 1)[0]).toBeLessThan(-0.002)
  })

  test('one that sees further is', () => {
    expect(differenceInterval(scores(1.8, 1), champion, y, 1)[0]).toBeGreaterThan(0)
  })
})
