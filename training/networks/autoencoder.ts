import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { encode, type CategoryRanks } from '../fit/encoder.ts'
import { defineEstimator } from '../fit/estimator.ts'
import type { FittedModel } from '../fit/fitted-model.ts'
import { logisticLink } from '../fit/link.ts'
import { fitRarities } from '../fit/rarity.ts'
import { finishRound } from '../fit/report.ts'
import { attribute } from '../graph/proto.ts'
import { castToFloat, doubleGraph, encodedNodes, layerNodes, scaleNodes } from './graph.ts'
import { type Dense, fitScaling, forward, scale, type Scaling } from './network.ts'

/** Parameters of the autoencoder with their defaults. */
const autoencoderParams = z.strictObject({
  hidden: z.number().int().min(1).max(1024).default(32).describe('width of the layers before and after the code'),
  code: z.number().int().min(1).max(1024).default(8).describe('width of the narrowest layer'),
  epochs: z.number().int().min(1).max(10_000).default(20).describe('passes over the training rows'),
  batch: z.number().int().min(1).max(65_536).default(512).describe('rows a step'),
  learning_rate: z.number().positive().max(1).default(0.002).describe('of Adam'),
  l2: z.number().min(0).default(1e-4).describe('times the sum of squared weights, added to the loss'),
})

/** Share of the training rows that score one half or less. */
const ODD = 0.99
/** Added to every error, since the logarithm of a perfect reconstruction, 0, would be −Infinity. */
const LEAST_ERROR = 1e-12

/**
 * An autoencoder. It scales the columns, presses them through a narrow layer and rebuilds them; a row that it cannot
 * rebuild is odd. Labels do not enter the fit.
 *
 * The score is `e / (e + q)`. e is the mean squared error of the row, and q is the error that 99 % of the training rows
 * do not exceed. So a score of one half means as odd as the oddest 1 %. A missing number counts as the mean of its
 * column, a category as its surprisal, and an unseen one as that of the median row.
 */
export const autoencoder = defineEstimator({
  name: 'autoencoder',
  description: 'autoencoder on TensorFlow.js: how odd a row is, learned without labels',
  unsupervised: true,
  schema: autoencoderParams,
  async fit(set, params, seed, report): Promise<FittedModel> {
    if (set.rows === 0) throw new UserError('No rows to fit on. Use a longer training period.')
    const { fitNetwork } = await import('./fit.ts')
    const width = set.names.length
    const encoder = fitRarities(set)
    const encoded = encode(encoder, set.x, width, set.categorical)
    const scaling = fitScaling(encoded, width)
    const rows = scale(scaling, encoded)
    const x = Float32Array.from(rows)
    const layers = await fitNetwork(
      { rows: set.rows, x, inputs: width, targets: x },
      {
        widths: [params.hidden, params.code, params.hidden, width],
        epochs: params.epochs,
        batch: params.batch,
        learningRate: params.learning_rate,
        l2: params.l2,
        patience: 0,
        loss: (tensorflow, made, targets) => tensorflow.mean(tensorflow.squaredDifference(made, targets)),
        epochEnd: (epoch) => finishRound(report, epoch, params.epochs),
      },
      seed,
    )
    const errors = errorsOf(layers, rows, width).sort()
    const logOdd = Math.log(errors[Math.floor(ODD * (errors.length - 1))])
    return autoencoderModel(set.names, encoder, scaling, layers, logOdd)
  },
})

/** Mean squared error of each scaled row, plus `LEAST_ERROR`. */
function errorsOf(layers: Dense[], rows: Float64Array, width: number): Float64Array {
  const made = forward(layers, rows)
  return Float64Array.from({ length: rows.length / width }, (_, row) => {
    let sum = 0
    for (let at = row * width; at < (row + 1) * width; at++) sum += (made[at] - rows[at]) ** 2
    return sum / width + LEAST_ERROR
  })
}

/** A model whose margin is log e − log q. The logistic link turns it into e / (e + q). */
function autoencoderModel(
  names: string[],
  encoder: CategoryRanks[],
  scaling: Scaling,
  layers: Dense[],
  logOdd: number,
): FittedModel {
  const width = names.length
  return {
    names,
    categorical: encoder,
    margins(x, categorical = []) {
      const errors = errorsOf(layers, scale(scaling, encode(encoder, x, width, categorical)), width)
      return Float32Array.from(errors, (error) => Math.log(error) - logOdd)
    },
    graph(output) {
      const graph = doubleGraph()
      const inputs = scaleNodes(graph, scaling, encodedNodes(graph, names, encoder))
      const apart = graph.add('Sub', [layerNodes(graph, layers, inputs), inputs], 'apart')
      const squares = graph.add('Mul', [apart, apart], 'squares')
      const overColumns = [attribute.ints('axes', [1]), attribute.int('keepdims', 1)]
      const mean = graph.add('ReduceMean', [squares], 'mean', overColumns)
      const error = graph.add('Add', [mean, { values: [LEAST_ERROR] }], 'error')
      const logError = graph.add('Log', [error], 'log_error')
      return castToFloat(graph, graph.add('Sub', [logError, { values: [logOdd] }], 'oddness'), output)
    },
    link: logisticLink,
  }
}
