import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import { trainCandidate } from '../candidate.ts'
import { estimatorNames } from '../catalog.ts'
import { decodeImportance, encodeImportance } from '../importance.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { averagePrecision } from './metrics.ts'
import { permutationImportance } from './permutation.ts'

/** A model that weighs the first column twice as much as the second, and ignores the others. */
const score = (x: Float32Array): Float32Array =>
  Float32Array.from({ length: x.length / 4 }, (_, row) => 2 * x[row * 4] + x[row * 4 + 1])

/** Labels that are likelier as the first two of four columns rise. */
function labelled(rows: number): { names: string[]; x: Float32Array; y: Uint8Array } {
  const random = randomStream(3)
  const x = Float32Array.from({ length: rows * 4 }, () => random.uniform())
  return {
    names: ['a', 'b', 'c', 'd'],
    x,
    y: Uint8Array.from({ length: rows }, (_, row) => (3 * random.uniform() < score(x)[row] ? 1 : 0)),
  }
}

test(
  'importance is the mean fall under shuffles and its deviation; ' +
    'what is not read has none, and the matrix stays as it was',
  async () => {
    const set = labelled(400)
    const before = set.x.slice()
    const seen: number[] = []
    const importance = await permutationImportance(
      (x) => {
        seen.push(averagePrecision(score(x), set.y))
        return score(x)
      },
      set,
      { seed: 1, repeats: 3 },
    )
    expect(set.x).toEqual(before)
    // The falls follow from what each call was shown: first the unshuffled matrix, then three shuffles of each feature.
    const [whole, ...shuffled] = seen
    importance.forEach(({ mean, deviation }, feature) => {
      const falls = shuffled.slice(feature * 3, feature * 3 + 3).map((value) => whole - value)
      const average = (falls[0] + falls[1] + falls[2]) / 3
      expect(mean).toBeCloseTo(average, 12)
      expect(deviation ** 2).toBeCloseTo((falls[0] ** 2 + falls[1] ** 2 + falls[2] ** 2) / 3 - average ** 2, 12)
    })
    expect(importance[0].mean).toBeGreaterThan(importance[1].mean)
    expect(importance[1].mean).toBeGreaterThan(0.01)
    expect(importance[0].deviation).toBeGreaterThan(0)
    expect(importance.slice(2)).toEqual([
      { mean: 0, deviation: 0 },
      { mean: 0, deviation: 0 },
    ])
  },
)

test('each shuffle moves the values of one feature among the rows, no other', async () => {
  const set = labelled(50)
  const shown: Float32Array[] = []
  await permutationImportance(
    (x) => {
      shown.push(x.slice())
      return score(x)
    },
    set,
    { seed: 1, repeats: 2 },
  )
  const column = (x: Float32Array, feature: number): number[] =>
    Array.from({ length: 50 }, (_, row) => x[row * 4 + feature])
  const rising = (a: number, b: number): number => a - b
  expect(shown.length).toBe(9)
  shown.slice(1).forEach((x, call) => {
    for (let feature = 0; feature < 4; feature++) {
      const [now, own] = [column(x, feature), column(set.x, feature)]
      expect(now.toSorted(rising)).toEqual(own.toSorted(rising))
      expect([feature, now.every((value, row) => value === own[row])]).toEqual([feature, feature !== call >> 1])
    }
  })
  expect(shown[1]).not.toEqual(shown[2])
})

test(
  // Two shuffles of each of four features.
  'the same seed gives the same figures, another others; every shuffle is reported, and may be the last',
  async () => {
    const set = labelled(200)
    const done: [number, number][] = []
    const first = await permutationImportance(score, set, {
      seed: 1,
      repeats: 2,
      report: (...told) => done.push(told) > 0,
    })
    expect(await permutationImportance(score, set, { seed: 1, repeats: 2 })).toEqual(first)
    expect(await permutationImportance(score, set, { seed: 2, repeats: 2 })).not.toEqual(first)
    const pruned = permutationImportance(score, set, { seed: 1, repeats: 2, report: (shuffle) => shuffle < 3 })
    await expect(pruned).rejects.toMatchObject({ name: 'Pruned', round: 3 })
    expect(done).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((shuffle) => [shuffle, 8]))
  },
)

const SHORT: Record<string, Record<string, number>> = {
  boosting: { rounds: 20 },
  neural: { epochs: 5 },
  autoencoder: { epochs: 5 },
  'ml-random-forest': { trees: 3, max_depth: 3 },
}

test.each(estimatorNames())(
  '%s is asked by its graph: the planted features come first, and trees fitted for gain say their shares',
  async (estimator) => {
    const set = plantedSet({ rows: 3000, features: 3, frauds: 300 }, 1)
    const request = {
      estimator,
      params: SHORT[estimator] ?? { trees: 20 },
      split: { kind: 'ordered', trainShare: 0.7 },
      seed: 1,
      alertsPerDay: 20,
    } as const
    const { importance, ...rest } = await trainCandidate(set, { ...request, importance: 3 }, () => true)
    expect(await trainCandidate(set, request, () => true)).toEqual(rest)
    expect(importance?.map(({ feature }) => feature).toSorted()).toEqual(set.names)
    expect(importance?.[0].feature).toBe('v0')
    expect(importance?.map(({ mean }) => mean)).toEqual(importance?.map(({ mean }) => mean).toSorted((a, b) => b - a))
    const shares = importance?.flatMap(({ gain }) => (gain === undefined ? [] : [gain])) ?? []
    expect(shares.length).toBe(['boosting', 'forest'].includes(estimator) ? 3 : 0)
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(shares.length / 3, 12)
    expect(decodeImportance(encodeImportance(importance ?? []))).toEqual(importance)
  },
)
