import { z } from 'zod'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { encode, fitEncoder, minCategoryRows, type CategoryRanks } from '../fit/encoder.ts'
import { defineEstimator } from '../fit/estimator.ts'
import type { FittedModel } from '../fit/fitted-model.ts'
import { logisticLink } from '../fit/link.ts'
import { finishRound } from '../fit/report.ts'
import { fittedShift } from '../fit/shift.ts'
import { partWatched, watchShare } from '../fit/watched-rows.ts'
import { watchedPrecision } from '../metrics/watched.ts'
import { castToFloat, doubleGraph, encodedNodes, layerNodes, scaleNodes } from './graph.ts'
import { type Dense, fitScaling, forward, scale, type Scaling } from './network.ts'

/** Parameters of the neural network with their defaults. */
const neuralParams = z.strictObject({
  hidden: z
    .number()
    .int()
    .min(1)
    .max(1024)
    .default(64)
    .describe('width of the first hidden layer; each further one has half of it'),
  layers: z.number().int().min(0).max(8).default(2).describe('hidden layers; 0 is logistic regression'),
  epochs: z.number().int().min(1).max(10_000).default(20).describe('passes over the training rows'),
  batch: z.number().int().min(1).max(65_536).default(512).describe('rows a step'),
  learning_rate: z.number().positive().max(1).default(0.002).describe('of Adam'),
  l2: z.number().min(0).default(1e-4).describe('times the sum of squared weights, added to the loss'),
  fraud_weight: z
    .number()
    .min(0)
    .default(1)
    .describe('weight of a fraud in the loss; 0 so much that both classes weigh the same'),
  early_stopping_rounds: z
    .number()
    .int()
    .min(0)
    .default(0)
    .describe(
      'stop when the watched average precision has not risen for so many epochs, and keep the best; ' +
        '0 never; needs watch_share',
    ),
  min_category_rows: minCategoryRows,
  watch_share: watchShare,
})

/**
 * A multilayer perceptron on the logistic loss, on scaled columns. A missing number counts as the mean of its column,
 * and a category as its rank, the mean rank where it is rare, unseen or missing. Frauds can be weighted up to help
 * learning. The last bias is then shifted so that the scores stay probabilities (`fit/shift.ts`).
 */
export const neural = defineEstimator({
  name: 'neural',
  description: 'neural network (multilayer perceptron) on TensorFlow.js',
  schema: neuralParams,
  async fit(set, params, seed, report): Promise<FittedModel> {
    const { fitNetwork } = await import('./fit.ts')
    const { fitted, watched } = partWatched(set, params)
    const width = set.names.length
    const encoder = fitEncoder(fitted, { minRows: params.min_category_rows, unknown: 'missing' })
    const encoded = (x: Float32Array): Float32Array => encode(encoder, x, width, set.categorical)
    const scaling = fitScaling(encoded(fitted.x), width)
    const read = (x: Float32Array): Float64Array => scale(scaling, encoded(x))
    const weight = fraudWeight(fitted, params.fraud_weight)
    const widths = [...Array.from({ length: params.layers }, (_, layer) => Math.max(1, params.hidden >> layer)), 1]
    const watchedRows = watched && read(watched.x)
    const layers = await fitNetwork(
      { rows: fitted.rows, x: Float32Array.from(read(fitted.x)), inputs: width, targets: Float32Array.from(fitted.y) },
      {
        widths,
        epochs: params.epochs,
        batch: params.batch,
        learningRate: params.learning_rate,
        l2: params.l2,
        patience: params.early_stopping_rounds,
        // softplus(z) − y z is the logistic loss; a fraud's is weighted by 1 + (weight − 1) y.
        loss: (tensorflow, margins, y) => {
          const losses = tensorflow.sub(tensorflow.softplus(margins), tensorflow.mul(y, margins))
          return tensorflow.mean(tensorflow.mul(tensorflow.add(1, tensorflow.mul(weight - 1, y)), losses))
        },
        epochEnd: (epoch, now) => {
          const judged = watched && watchedRows && { sums: Float32Array.from(forward(now, watchedRows)), y: watched.y }
          return finishRound(report, epoch, params.epochs, watchedPrecision(judged))
        },
      },
      seed,
    )
    if (weight !== 1) {
      const margins = Float32Array.from(forward(layers, read(fitted.x)))
      layers[layers.length - 1].biases[0] += fittedShift(margins, fitted.y)
    }
    return neuralModel(set.names, encoder, scaling, layers)
  },
})

/** The weight of a fraud in the loss; for a given 0, the one that makes both classes weigh the same. */
function fraudWeight({ rows, y }: TrainingSet, given: number): number {
  const frauds = y.reduce((sum, label) => sum + label, 0)
  return given > 0 ? given : (rows - frauds) / frauds
}

function neuralModel(names: string[], encoder: CategoryRanks[], scaling: Scaling, layers: Dense[]): FittedModel {
  return {
    names,
    categorical: encoder,
    margins: (x, categorical = []) =>
      Float32Array.from(forward(layers, scale(scaling, encode(encoder, x, names.length, categorical)))),
    graph(output) {
      const graph = doubleGraph()
      const inputs = scaleNodes(graph, scaling, encodedNodes(graph, names, encoder))
      return castToFloat(graph, layerNodes(graph, layers, inputs), output)
    },
    link: logisticLink,
  }
}
