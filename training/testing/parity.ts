import { expect } from 'vitest'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { modelScores, type FittedModel } from '../fit/fitted-model.ts'
import { largestDifference, type Difference } from '../fit/graph-parity.ts'
import { onnxScores } from '../graph/scores.ts'

/** Expects what the gate of a promotion does: scores that agree to 1e-6, and to 1e-4 of themselves. */
export function expectParity({ absolute, relative }: Difference): void {
  expect(absolute).toBeLessThanOrEqual(1e-6)
  expect(relative).toBeLessThanOrEqual(1e-4)
}

/**
 * How far the trainer's scores and the graph's differ on the rows of `set`.
 *
 * @throws UserError when `bytes` is not a graph that scores such rows.
 */
export async function verifyOnnx(model: FittedModel, bytes: Uint8Array, set: TrainingSet): Promise<Difference> {
  const { x, names, categorical } = set
  return largestDifference(modelScores(model, x, categorical), await onnxScores(bytes, x, names.length, categorical))
}
