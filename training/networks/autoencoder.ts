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
export const autoencoderParams = z.strictObject({
  hidden: z.number().int().min(1).max(1024).default(32).describe('width of the layers before and after the code'),
  code: z.number().int().min(1).max(1024).default(8).describe('width of the narrowest layer'),
  epochs: z.number().int().min(1).max(10_000).default(20).describe('passes over the training rows'),
  batch: z.number().int().min(1).max(65_536).default(512).describe('rows a step'),
  learning_rate: z.number().positive().max(1).default(0.002).describe('of Adam'),
  l2: z.number().min(0).default(1e-4).describe('times the sum of squared weights, added to the loss'),
})

/** Share of the training rows that are at most as odd as a score of one half says. */
const ODD = 0.99
/** Added to every error, so that a perfect reconstruction has a logarithm. */
const LEAST_ERROR = 1e-12

/**
 * An autoencoder: columns are scaled, pressed through a narrow layer and made again; what cannot be made again is odd. Labels
 * are not looked at. The score is `e / (e + q)`, e the mean squared error of a row and q that which 99 % of the training rows stay
 * below: one half says as odd as the oddest 1 %. Missing numbers count as the column's mean, categories as their surprisal.
 */
export const autoencoder = defineEstimator({
  name: 'autoencoder',
  description: 'autoencoder on TensorFlow.js: how odd a row is, learned without labels',
  schema: autoencoderParams,
  async fit(set, params, seed, report): Promise<FittedModel> {
    if (set.rows === 0) throw new UserError('No rows to fit on. Use a longer training period.')
    const { fitNetwork } = await import('./fit.ts')
    const width = set.names.length
    const encoder = fitRarities(set)
    const encoded = encode(encoder, set.x, width)
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
    return autoencoderModel(
      set.names,
      encoder,
      scaling,
      layers,
      Math.log(errors[Math.floor(ODD * (errors.length - 1))]),
    )
  },
})

function errorsOf(layers: Dense[], rows: Float64Array, width: number): Float64Array {
  const made = forward(layers, rows)
  return Float64Array.from({ length: rows.length / width }, (_, row) => {
    let sum = 0
    for (let at = row * width; at < (row + 1) * width; at++) sum += (made[at] - rows[at]) ** 2
    return sum / width + LEAST_ERROR
  })
}

/** The margin is log e − log q, of which the logistic link makes e / (e + q). */
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
    margins: (x) =>
      Float32Array.from(
        errorsOf(layers, scale(scaling, encode(encoder, x, width)), width),
        (error) => Math.log(error) - logOdd,
      ),
    graph(output) {
      const graph = doubleGraph()
      const inputs = scaleNodes(graph, scaling, encodedNodes(graph, names, encoder))
      const apart = graph.add('Sub', [layerNodes(graph, layers, inputs), inputs], 'apart')
      const mean = graph.add('ReduceMean', [graph.add('Mul', [apart, apart], 'squares')], 'mean', [
        attribute.ints('axes', [1]),
        attribute.int('keepdims', 1),
      ])
      const error = graph.add('Add', [mean, { values: [LEAST_ERROR] }], 'error')
      return castToFloat(
        graph,
        graph.add('Sub', [graph.add('Log', [error], 'log_error'), { values: [logOdd] }], 'oddness'),
        output,
      )
    },
    link: logisticLink,
  }
}
