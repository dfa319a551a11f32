import { expect, test } from 'vitest'
import { subset, type TrainingSet } from '../../features/backfill/training-set.ts'
import { fitSigmoid } from '../calibration/platt.ts'
import type { Params } from '../fit/estimator.ts'
import { modelScores, toOnnx, type FittedModel } from '../fit/fitted-model.ts'
import { Pruned, type Report } from '../fit/report.ts'
import { onnxScores } from '../graph/scores.ts'
import { averagePrecision } from '../metrics/metrics.ts'
import { expectParity, verifyOnnx } from '../testing/parity.ts'
import { plantedSet } from '../testing/planted-set.ts'
import { autoencoder } from './autoencoder.ts'
import { fitNetwork } from './fit.ts'
import { forward, type Dense } from './network.ts'
import { neural } from './neural.ts'
import { openTensorFlow } from './tensorflow.ts'

/** Listeners before TensorFlow.js is loaded. */
const LISTENERS = process.listenerCount('uncaughtException')
const proceed: Report = () => true
const ESTIMATORS = { neural, autoencoder }
const fitOf =
  (name: keyof typeof ESTIMATORS) =>
  (set: TrainingSet, given: Params = {}, seed = 1, report = proceed) =>
    ESTIMATORS[name].fit(set, ESTIMATORS[name].params({ epochs: 3, hidden: 16, ...given }), seed, report)
const [fit, fitAutoencoder] = [fitOf('neural'), fitOf('autoencoder')]

const SHAPES = [{}, { missing: 0.2 }, { categories: 20 }, { missing: 0.1, categories: 300 }]
const cases = (Object.keys(ESTIMATORS) as (keyof typeof ESTIMATORS)[]).flatMap((name) =>
  SHAPES.map((extra) => ({ name, extra })),
)

test.each(cases)('ONNX Runtime gives the scores of $name to 1e-6, in any batch: $extra', async ({ name, extra }) => {
  const set = plantedSet({ rows: 1500, features: 5, frauds: 100, ...extra }, 1)
  const model = await fitOf(name)(set)
  const wild = plantedSet({ rows: 1000, features: 5, frauds: 60, ...extra, missing: 0.5 }, 2)
  wild.x.set([Infinity, -Infinity, -0, 3.4e38, Number.NaN])
  const bytes = toOnnx(model)
  for (const some of [set, wild]) expectParity(await verifyOnnx(model, bytes, some))
  const whole = await onnxScores(bytes, wild.x, wild.names.length, wild.categorical)
  expect(whole.every((score) => score >= 0 && score <= 1)).toBe(true)
  expect(new Set(whole).size).toBeGreaterThan(500)
  for (const size of [1, 3, 64]) {
    const rows = subset(
      wild,
      Int32Array.from({ length: size }, (_, row) => 100 + row),
    )
    expect(await onnxScores(bytes, rows.x, rows.names.length, rows.categorical)).toEqual(whole.slice(100, 100 + size))
  }
})

test('our forward pass is that of TensorFlow.js, to float32', async () => {
  const x = Float32Array.from({ length: 400 }, (_, at) => Math.sin(at))
  const targets = x.map((value) => Math.abs(value))
  const layers: Dense[] = await fitNetwork(
    { rows: 100, x, inputs: 4, targets },
    {
      widths: [16, 8, 4],
      epochs: 2,
      batch: 32,
      learningRate: 0.01,
      l2: 0,
      patience: 0,
      loss: (tf, made, wanted) => tf.mean(tf.squaredDifference(made, wanted)),
      epochEnd: async () => Number.NaN,
    },
    1,
  )
  const tf = await openTensorFlow()
  const own = tf.tidy(() =>
    layers
      .reduce(
        (input, { inputs, outputs, weights, biases, relu }) => {
          const sum = tf.add(tf.matMul(input, tf.tensor2d(weights, [inputs, outputs])), tf.tensor1d(biases))
          return relu ? tf.relu(sum) : sum
        },
        tf.tensor2d(x, [100, 4]) as ReturnType<typeof tf.relu>,
      )
      .dataSync(),
  )
  const made = forward(layers, Float64Array.from(x))
  expect(made.every((value, at) => Math.abs(value - own[at]) < 1e-5)).toBe(true)
  expect(tf.getBackend()).toBe('wasm')
})

test('no tensor and no listener for errors stays behind', async () => {
  const tf = await openTensorFlow()
  const tensors = tf.memory().numTensors
  await fit(plantedSet({ rows: 300, features: 3, frauds: 30 }, 3))
  expect([tf.memory().numTensors, process.listenerCount('uncaughtException')]).toEqual([tensors, LISTENERS])
  await expect(
    fit(plantedSet({ rows: 300, features: 3, frauds: 30 }, 3), {}, 1, (epoch) => epoch < 2),
  ).rejects.toBeInstanceOf(Pruned)
  expect(tf.memory().numTensors).toBe(tensors)
})

test('without a hidden layer it is logistic regression: the sigmoid of largest likelihood', async () => {
  const set = plantedSet({ rows: 4000, features: 1, frauds: 1200 }, 4)
  const model = await fit(set, { layers: 0, epochs: 60, learning_rate: 0.02, l2: 0 })
  const { slope, offset } = fitSigmoid(set.x, set.y)
  const probes = Float32Array.of(-1, 0, 1, 2, 4)
  const margins = model.margins(probes)
  probes.forEach((probe, at) => expect(Math.abs(margins[at] - (slope * probe + offset))).toBeLessThan(0.05))
})

test('what no line can part, hidden layers part', async () => {
  const set = plantedSet({ rows: 3000, features: 2, frauds: 30 }, 5)
  set.y.forEach((_, row) => (set.y[row] = set.x[row * 2] * set.x[row * 2 + 1] > 0.5 ? 1 : 0))
  const precision = async (layers: number): Promise<number> =>
    averagePrecision(modelScores(await fit(set, { layers, epochs: 25, learning_rate: 0.01 }), set.x), set.y)
  expect(await precision(2)).toBeGreaterThan(0.98)
  expect(await precision(0)).toBeLessThan(0.5)
})

const shareOf = (scores: Float32Array): number => scores.reduce((sum, score) => sum + score, 0) / scores.length

test('a weight of frauds leaves the scores probabilities', async () => {
  const set = plantedSet({ rows: 4000, features: 3, frauds: 200 }, 6)
  for (const weight of [1, 8, 0]) {
    expect(
      Math.abs(
        shareOf(modelScores(await fit(set, { fraud_weight: weight, epochs: 15, learning_rate: 0.01 }), set.x)) - 0.05,
      ),
    ).toBeLessThan(0.02)
  }
})

test('the same seed gives the same bytes, another seed others', async () => {
  const set = plantedSet({ rows: 500, features: 3, frauds: 50, categories: 4 }, 7)
  for (const one of [fit, fitAutoencoder]) {
    const bytes = toOnnx(await one(set))
    expect(toOnnx(await one(set))).toEqual(bytes)
    expect(toOnnx(await one(set, {}, 2))).not.toEqual(bytes)
  }
})

test('early stopping keeps the best epoch, and reports come an epoch', async () => {
  const set = plantedSet({ rows: 1500, features: 4, frauds: 150 }, 8)
  const values: number[] = []
  const model = await fit(
    set,
    { epochs: 60, learning_rate: 0.05, early_stopping_rounds: 4, watch_share: 0.4 },
    1,
    (epoch, value) => values.push(value) === epoch,
  )
  const best = values.indexOf(Math.max(...values)) + 1
  expect(values.length).toBe(best + 4)
  const watched = subset(
    set,
    Int32Array.from({ length: 600 }, (_, row) => 900 + row),
  )
  expect(averagePrecision(model.margins(watched.x), watched.y)).toBeCloseTo(Math.max(...values), 6)
  await expect(fit(set, { early_stopping_rounds: 4 })).rejects.toThrow('Add: --param watch_share=0.2')
})

test(
  // Ten frauds among 2,000 rows are moved far out.
  'an autoencoder does not look at labels, scores 1 % of its rows above one half, and the far out highest',
  async () => {
    const set = plantedSet({ rows: 2000, features: 4, frauds: 10, categories: 3 }, 9)
    const odd = (row: number): boolean => set.y[row] === 1
    set.y.forEach((_, row) => odd(row) && set.x.fill(8, row * 5, row * 5 + 4))
    const model: FittedModel = await fitAutoencoder(set, { epochs: 5, code: 2 })
    const scores = modelScores(model, set.x, set.categorical)
    expect(averagePrecision(scores, set.y)).toBeGreaterThan(0.9)
    expect(scores.filter((score) => score > 0.5).length).toBeLessThanOrEqual(21)
    expect(scores.filter((score) => score >= 0.5).length).toBeGreaterThanOrEqual(20)
    expect(toOnnx(await fitAutoencoder({ ...set, y: new Uint8Array(2000) }, { epochs: 5, code: 2 }))).toEqual(
      toOnnx(model),
    )
  },
)

test('no rows are refused; one row, and rows all alike or all missing, score one half by the autoencoder', async () => {
  const set = plantedSet({ rows: 100, features: 2, frauds: 10 }, 10)
  await expect(fitAutoencoder(subset(set, new Int32Array(0)))).rejects.toThrow('No rows to fit on')
  const one = subset(set, Int32Array.of(1))
  for (const some of [
    one,
    { ...set, x: new Float32Array(200).fill(3) },
    { ...set, x: new Float32Array(200).fill(Number.NaN) },
  ]) {
    expect(new Set(modelScores(await fitAutoencoder(some), some.x))).toEqual(new Set([0.5]))
  }
})
