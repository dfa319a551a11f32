import { expect, test } from 'vitest'
import { subset } from '../../features/backfill/training-set.ts'
import { boosting, forest } from '../ensembles/estimator.ts'
import { modelScores, signatureOf, toOnnx } from '../fit/fitted-model.ts'
import { largestDifference } from '../fit/graph-parity.ts'
import { onnxScores } from '../graph/scores.ts'
import { expectParity, verifyOnnx } from '../testing/parity.ts'
import { plantedName, plantedSet } from '../testing/planted-set.ts'

const SHAPES = {
  numbers: { rows: 4000, features: 7, frauds: 120 },
  missing: { rows: 4000, features: 7, frauds: 120, missing: 0.1 },
  categories: { rows: 4000, features: 5, frauds: 120, categories: 40 },
  'categories alone': { rows: 4000, features: 0, frauds: 120, categories: 40 },
  both: { rows: 4000, features: 5, frauds: 120, missing: 0.1, categories: 300 },
}
const cases = Object.keys(SHAPES).flatMap((shape) =>
  [boosting, forest].map((estimator) => [estimator.name, shape as keyof typeof SHAPES, estimator] as const),
)

test.each(cases)(
  'ONNX Runtime gives the scores of %s on %s to 1e-6, on rows of the fit and on wild ones',
  async (name, shape, estimator) => {
    const set = plantedSet(SHAPES[shape], 1)
    const model = await estimator.fit(
      set,
      estimator.params(name === 'boosting' ? { rounds: 60, learning_rate: 0.3, max_depth: 8 } : { trees: 40 }),
      1,
      () => true,
    )
    const bytes = toOnnx(model)
    expectParity(await verifyOnnx(model, bytes, set))
    const wild = plantedSet(
      { ...SHAPES[shape], missing: 0.5, ...('categories' in SHAPES[shape] ? { categories: 500 } : {}) },
      2,
    )
    const edges = [Infinity, -Infinity, 0, -0, 3.4e38, Number.NaN]
    wild.x.set(edges.slice(0, Math.min(edges.length, set.names.length)))
    wild.x[set.names.length - 1] = Number.NaN
    expectParity(await verifyOnnx(model, bytes, wild))
    expect(new Set(modelScores(model, wild.x, wild.categorical)).size).toBeGreaterThan(10)
    // Directions of both kinds are in the graph.
    expect(new Set(model.trees.missingLeft)).toEqual(new Set([0, 1]))
  },
)

test.each([boosting, forest])(
  'the missing are parted from all numbers, infinite ones too, by $name and by its graph',
  async (estimator) => {
    const set = plantedSet({ rows: 500, features: 1, frauds: 100 }, 8)
    set.x.forEach((_, row) => {
      set.x[row] = set.y[row] === 1 ? Number.NaN : 5
    })
    const model = await estimator.fit(set, estimator.params({}), 1, () => true)
    expect(model.trees.threshold).toContain(Infinity)
    const x = Float32Array.of(Number.NaN, 5, Infinity, -Infinity, 3.4e38, 0)
    const scores = await onnxScores(toOnnx(model), x, 1)
    expectParity(largestDifference(scores, modelScores(model, x)))
    expect(scores[0]).toBeGreaterThan(0.8)
    expect(new Set(scores.slice(1)).size).toBe(1)
  },
)

test('thresholds hold to the last bit: values at a cut and one float beside it', async () => {
  const set = plantedSet({ rows: 3000, features: 3, frauds: 90 }, 3)
  const model = await boosting.fit(set, boosting.params({ rounds: 20, learning_rate: 0.3 }), 1, () => true)
  const { feature, threshold } = model.trees
  const bits = new Int32Array(1)
  const float = new Float32Array(bits.buffer)
  const rows = Array.from(feature.keys())
    .filter((node) => feature[node] >= 0)
    .flatMap((node) =>
      [-1, 0, 1].map((step) => {
        float[0] = threshold[node]
        bits[0] += step
        return [0, 1, 2].map((column) => (column === feature[node] ? float[0] : 0.1 * column))
      }),
    )
  const x = Float32Array.from(rows.flat())
  const [own, graph] = [modelScores(model, x), await onnxScores(toOnnx(model), x, 3)]
  expect(Math.max(...own.map((score, row) => Math.abs(score - graph[row])))).toBeLessThanOrEqual(1e-6)
})

test('scores do not depend on the batch they are in', async () => {
  const set = plantedSet({ rows: 1000, features: 6, frauds: 60, categories: 5 }, 4)
  const bytes = toOnnx(await boosting.fit(set, boosting.params({ rounds: 30 }), 1, () => true))
  const whole = await onnxScores(bytes, set.x, 7, set.categorical)
  for (const size of [1, 3, 64]) {
    const rows = Int32Array.from({ length: size }, (_, row) => 200 + row)
    expect(await onnxScores(bytes, subset(set, rows).x, 7, set.categorical)).toEqual(whole.slice(200, 200 + size))
  }
})

test('a category never seen in training, a rare one and a missing one score alike, as a missing number', async () => {
  const set = plantedSet({ rows: 3000, features: 1, frauds: 300, categories: 6 }, 5)
  set.categorical[0].names.push('seen once')
  set.x[1] = 6
  const model = await forest.fit(set, forest.params({ trees: 20 }), 1, () => true)
  const [{ names, ranks, unknown }] = model.encoder
  expect(names).toEqual(Array.from({ length: 6 }, (_, category) => plantedName(category)).sort())
  expect(new Set(ranks)).toEqual(new Set([1, 2, 3, 4, 5, 6]))
  expect(unknown).toBeNaN()
  const others = [{ feature: 1, names: ['never seen', 'seen once', '__proto__'] }]
  const x = Float32Array.of(0.3, 0, 0.3, Number.NaN, 0.3, 1, 0.3, 2)
  expect(new Set(await onnxScores(toOnnx(model), x, 2, others)).size).toBe(1)
})

test('verification sees a graph of another model', async () => {
  const set = plantedSet({ rows: 1000, features: 4, frauds: 60 }, 6)
  const [one, other] = [
    await forest.fit(set, forest.params({ trees: 5 }), 1, () => true),
    await forest.fit(set, forest.params({ trees: 5 }), 2, () => true),
  ]
  expect((await verifyOnnx(one, toOnnx(other), set)).absolute).toBeGreaterThan(0.01)
  expect(toOnnx(one)).toEqual(toOnnx(one))
})

test('bytes that are no graph and rows of another width are refused', async () => {
  await expect(onnxScores(Uint8Array.of(1, 2, 3), new Float32Array(2), 2)).rejects.toThrow(
    'ONNX Runtime cannot load the graph',
  )
  const set = plantedSet({ rows: 500, features: 4, frauds: 60 }, 7)
  const bytes = toOnnx(await forest.fit(set, forest.params({ trees: 2 }), 1, () => true))
  await expect(onnxScores(bytes, new Float32Array(6), 3)).rejects.toThrow('The graph cannot score rows of 3 features')
  expect(signatureOf(set.names).input).toEqual({ name: 'features', dtype: 'float32', shape: [-1, 4] })
})
