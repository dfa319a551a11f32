import { z } from 'zod'
import type { TrainingSet } from '../features/backfill/training-set.ts'
import type { FittedModel } from './fit/fitted-model.ts'
import { onnxScores } from './graph/scores.ts'
import { permutationImportance, type Shuffles } from './metrics/permutation.ts'

const featureImportance = z.object({
  feature: z.string(),
  /** How far the holdout's average precision falls when the feature is shuffled, and how that varied. */
  mean: z.number(),
  deviation: z.number(),
  /** Share of what all splits gained on the rows fitted on; absent where nothing was split for gain. */
  gain: z.number().optional(),
})
/** What a model makes of one feature. */
export type FeatureImportance = z.infer<typeof featureImportance>

/** All features, the most needed first, as JSON. */
export function encodeImportance(importance: FeatureImportance[]): Uint8Array {
  return Buffer.from(JSON.stringify(importance, null, 2))
}

export function decodeImportance(bytes: Uint8Array): FeatureImportance[] {
  return z.array(featureImportance).parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
}

/**
 * What a model makes of each feature, the most needed first. It is the graph that is asked, as with every metric, so this is
 * there for all estimators, and scoring the holdout `features × repeats` times is what it costs.
 */
export async function importanceOf(
  { onnx, gain }: { onnx: Uint8Array; gain: FittedModel['gain'] },
  test: TrainingSet,
  shuffles: Shuffles,
): Promise<FeatureImportance[]> {
  const falls = await permutationImportance((x) => onnxScores(onnx, x, test.names.length), test, shuffles)
  return test.names
    .map((feature, at) => ({ feature, ...falls[at], ...(gain && { gain: gain[at] }) }))
    .sort((a, b) => b.mean - a.mean)
}
