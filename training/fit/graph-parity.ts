import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { onnxScores } from '../graph/scores.ts'
import { modelScores, type FittedModel } from './fitted-model.ts'

/**
 * Largest absolute difference between the trainer's scores and the graph's on the rows of `set`. NaN counts as
 * infinitely far.
 *
 * @throws UserError when `bytes` is not a graph that scores such rows.
 */
export async function verifyOnnx(model: FittedModel, bytes: Uint8Array, set: TrainingSet): Promise<number> {
  return largestDifference(modelScores(model, set.x), await onnxScores(bytes, set.x, set.names.length))
}

/** max |one − other| over all rows. NaN counts as infinitely far. */
export function largestDifference(one: Float32Array, other: Float32Array): number {
  let largest = 0
  for (let row = 0; row < one.length; row++) {
    const difference = Math.abs(one[row] - other[row])
    largest = Math.max(largest, Number.isNaN(difference) ? Infinity : difference)
  }
  return largest
}
