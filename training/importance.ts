import { z } from 'zod'
import type { TrainingSet } from '../features/backfill/training-set.ts'
import type { FittedModel } from './fit/fitted-model.ts'
import { onnxScores } from './graph/scores.ts'
import { permutationImportance, type Shuffles } from './metrics/permutation.ts'

const featureImportance = z.object({
  feature: z.string(),
  /**
   * Mean fall of the holdout's average precision when the feature is shuffled, and the standard deviation of the falls.
   */
  mean: z.number(),
  deviation: z.number(),
  /** Share of what all splits gained on the rows fitted on; absent where nothing was split for gain. */
  gain: z.number().optional(),
})
/** How much a model needs one feature. */
export type FeatureImportance = z.infer<typeof featureImportance>

/** The features as JSON, in the order given. */
export function encodeImportance(importance: FeatureImportance[]): Uint8Array {
  return Buffer.from(JSON.stringify(importance, null, 2))
}

export function decodeImportance(bytes: Uint8Array): FeatureImportance[] {
  return z.array(featureImportance).parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
}

/** A model's graph, and the share of the gain by feature where something was split for gain. */
export interface MeasuredModel {
  onnx: Uint8Array
  gain: FittedModel['gain']
}

/**
 * How much a model needs each feature, the most needed first. As with every metric, the ONNX graph is what is measured,
 * so every estimator has this. It costs `features × repeats` scorings of the holdout.
 *
 * @throws Pruned when the report of `shuffles` answers false.
 */
export async function importanceOf(
  { onnx, gain }: MeasuredModel,
  test: TrainingSet,
  shuffles: Shuffles,
): Promise<FeatureImportance[]> {
  const falls = await permutationImportance(
    (x) => onnxScores(onnx, x, test.names.length, test.categorical),
    test,
    shuffles,
  )
  return test.names
    .map((feature, at) => ({ feature, ...falls[at], ...(gain && { gain: gain[at] }) }))
    .sort((a, b) => b.mean - a.mean)
}
