import { RandomForestClassifier } from 'ml-random-forest'
import { expect, test } from 'vitest'
import { randomStream } from '../../datasets/random/random.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { modelScores, toOnnx } from '../fit/fitted-model.ts'
import { expectParity, verifyOnnx } from '../testing/parity.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { mlRandomForest } from './ml-random-forest.ts'

const proceed = () => true
const fit = (set: TrainingSet, params: Record<string, number> = {}, seed = 1) =>
  mlRandomForest.fit(set, mlRandomForest.params({ trees: 3, ...params }), seed, proceed)

test.each([1, 2, 3])(
  "a tree votes as the package's own does, on rows of the fit and others (seed %i)",
  async (seed) => {
    const set = plantedSet({ rows: 600, features: 5, frauds: 60 }, seed)
    const rowsOf = ({ x }: TrainingSet): number[][] =>
      Array.from({ length: x.length / 5 }, (_, row) => [...x.subarray(row * 5, row * 5 + 5)])
    const model = await fit(set, { trees: 1, max_features: 1, max_depth: 6 }, seed)
    const own = new RandomForestClassifier({
      maxFeatures: 1,
      replacement: true,
      nEstimators: 1,
      noOOB: true,
      useSampleBagging: true,
      seed: randomStream(seed, 1).integer(2 ** 31),
      treeOptions: { gainThreshold: 0, minNumSamples: 3, maxDepth: 6 },
    })
    own.train(rowsOf(set), [...set.y])
    for (const some of [set, plantedSet({ rows: 2000, features: 5, frauds: 200 }, seed + 10)]) {
      const votes = [...modelScores(model, some.x, some.categorical)].map((share) => (share > 0.5 ? 1 : 0))
      expect(votes).toEqual(own.predict(rowsOf(some)))
      expect(new Set(votes).size).toBe(2)
    }
  },
)

test.each([{}, { missing: 0.2 }, { categories: 20 }, { missing: 0.1, categories: 40 }])(
  'ONNX Runtime gives the scores to 1e-6: %j',
  async (extra) => {
    const set = plantedSet({ rows: 800, features: 4, frauds: 80, ...extra }, 2)
    const model = await fit(set)
    const wild = plantedSet({ rows: 1000, features: 4, frauds: 80, ...extra, missing: 0.5 }, 3)
    wild.x.set([Infinity, -Infinity, -0, Number.NaN])
    for (const some of [set, wild]) expectParity(await verifyOnnx(model, toOnnx(model), some))
    expect(new Set(modelScores(model, wild.x, wild.categorical)).size).toBeGreaterThan(4)
  },
)

/** Of two values the greater is a fraud. The float32 threshold must part them, however near they are. */
test.each([
  [0, 1],
  [-1, 0],
  [0, 1.401298464324817e-45],
  [-1.401298464324817e-45, 0],
  [1, 1.0000001192092896],
  [-1.0000001192092896, -1],
  [-3.4e38, 3.4e38],
  [7, Infinity],
  [7, Number.NaN],
])('values %d and %d are told apart', async (genuine, fraud) => {
  const set = { ...plantedSet({ rows: 60, features: 1, frauds: 20 }, 4) }
  set.x = Float32Array.from(set.y, (label) => (label === 1 ? fraud : genuine))
  const model = await fit(set, { max_features: 1 })
  expect([...modelScores(model, Float32Array.of(genuine, fraud))]).toEqual([0, 1])
})

test('the same seed gives the same bytes, another seed others', async () => {
  const set = plantedSet({ rows: 400, features: 4, frauds: 40 }, 5)
  const bytes = toOnnx(await fit(set))
  expect(toOnnx(await fit(set))).toEqual(bytes)
  expect(toOnnx(await fit(set, {}, 2))).not.toEqual(bytes)
})

test('more than 20,000 rows are refused, with the reason and the alternative', async () => {
  const many = plantedSet({ rows: 20_001, features: 1, frauds: 40 }, 6)
  await expect(fit(many)).rejects.toThrow(
    'takes at most 20,000 rows, and there are 20,001: its time grows with the square of the rows, ' +
      'and would be hours. Use --model forest',
  )
})

test('two rows are enough', async () => {
  const pair = plantedSet({ rows: 2, features: 2, frauds: 1 }, 7)
  const scores = modelScores(await fit(pair, { trees: 20 }), pair.x)
  expect(scores.every((score) => score >= 0 && score <= 1)).toBe(true)
})
