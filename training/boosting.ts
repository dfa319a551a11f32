import { z } from 'zod'
import { randomStream, type Random } from '../datasets/random.ts'
import type { Bins } from './binning.ts'
import { createGrower } from './grower.ts'
import { type GradientPairs, packGradients, packRows } from './histogram.ts'
import { finishRound, type Report, type Watch, watchShare } from './progress.ts'
import { treeBuilder } from './tree-builder.ts'
import type { Trees } from './tree.ts'

/** Parameters of gradient boosting with their defaults, by the names the field knows. */
export const boostingParams = z.strictObject({
  rounds: z.number().int().min(1).max(10_000).default(200).describe('trees'),
  learning_rate: z.number().positive().max(1).default(0.05).describe('share of each Newton step that is taken'),
  max_depth: z.number().int().min(0).max(32).default(6).describe('edges from the root to the deepest leaf'),
  l2: z.number().min(0).default(1).describe('added to every hessian sum; pulls leaves towards 0'),
  min_child_weight: z.number().min(0).default(3).describe('least hessian sum of a leaf'),
  subsample: z.number().positive().max(1).default(0.8).describe('share of the rows drawn for each tree'),
  colsample: z.number().positive().max(1).default(0.8).describe('share of the features drawn for each tree'),
  early_stopping_rounds: z.number().int().min(0).default(0).describe('stop when the watched average precision has not risen for so many rounds; 0 never; needs watch_share'),
  watch_share: watchShare,
})
export type BoostingParams = z.infer<typeof boostingParams>

/**
 * Gradient boosting of trees on the logistic loss with second-order leaves (Friedman 2001; Chen and Guestrin 2016), from
 * margin 0. A margin is the sum of leaves in float32; the score is 1 / (1 + exp(−margin)).
 *
 * Deterministic: the same rows, parameters and seed give the same trees. With early stopping the trees up to the best
 * watched round are kept.
 *
 * @throws Pruned when `report` answers false.
 */
export async function fitBoosting(bins: Bins, y: Uint8Array, params: BoostingParams, seed: number, report: Report, watch?: Watch): Promise<Trees> {
  const builder = treeBuilder(bins.cuts)
  const grower = createGrower(bins, packRows(bins), { maxDepth: params.max_depth, l2: params.l2, minChildWeight: params.min_child_weight }, params.learning_rate)
  const loss = logisticLoss(y)
  const margins = new Float32Array(bins.rows)
  const watched = watch && { sums: new Float32Array(watch.bins.rows), y: watch.y }
  const best = { round: params.rounds, value: -1 }
  for (let round = 1; round <= params.rounds; round++) {
    const random = randomStream(seed, round)
    const sample = sampleRows(bins.rows, params.subsample, random)
    const features = sampleSorted(random, bins.columns.length, Math.ceil(params.colsample * bins.columns.length))
    const units = loss.update(margins, sample.taken)
    grower.grow(builder, units, sample.rows, features, margins)
    if (sample.left !== undefined) builder.addNewest(bins, margins, sample.left)
    if (watch && watched) builder.addNewest(watch.bins, watched.sums)
    const value = await finishRound(report, round, params.rounds, watched)
    if (params.early_stopping_rounds === 0) continue
    if (value > best.value) Object.assign(best, { round, value })
    else if (round - best.round >= params.early_stopping_rounds) break
  }
  return builder.finish(best.round)
}

/** Gradient p − y and hessian p (1 − p) of the logistic loss at the current margins. */
function logisticLoss(y: Uint8Array): { update(margins: Float32Array, taken?: Uint8Array): GradientPairs } {
  const gradient = new Float64Array(y.length)
  const hessian = new Float64Array(y.length)
  const units: GradientPairs = { pairs: new Float64Array(y.length), gradientUnit: 1, hessianUnit: 1 }
  return {
    update(margins, taken) {
      for (let row = 0; row < y.length; row++) {
        const probability = 1 / (1 + Math.exp(-margins[row]))
        gradient[row] = probability - y[row]
        hessian[row] = probability * (1 - probability)
      }
      packGradients(gradient, hessian, units, taken)
      return units
    },
  }
}

interface RowSample {
  /** Rising row numbers to fit on. */
  rows: Int32Array
  /** 1 for the rows drawn and 1 for those left out; undefined when all are drawn. */
  taken?: Uint8Array
  left?: Uint8Array
}

function sampleRows(rows: number, share: number, random: Random): RowSample {
  if (share >= 1) return { rows: Int32Array.from({ length: rows }, (_, row) => row) }
  const chosen = sampleSorted(random, rows, Math.max(1, Math.round(share * rows)))
  const taken = new Uint8Array(rows)
  for (const row of chosen) taken[row] = 1
  return { rows: chosen, taken, left: taken.map((one) => 1 - one) }
}

/** `count` different whole numbers out of [0, limit), rising: selection sampling (Knuth's algorithm S), one draw a candidate. */
export function sampleSorted(random: Random, limit: number, count: number): Int32Array {
  const chosen = new Int32Array(Math.min(count, limit))
  for (let candidate = 0, taken = 0; taken < chosen.length; candidate++) {
    if (random.uniform() * (limit - candidate) < chosen.length - taken) chosen[taken++] = candidate
  }
  return chosen
}
