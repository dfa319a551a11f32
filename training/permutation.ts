import { randomStream } from '../datasets/random.ts'
import type { TrainingSet } from '../features/training-set.ts'
import { averagePrecision } from './metrics.ts'

/**
 * By feature, how far the average precision falls when the feature's values are shuffled among the rows: the mean over
 * `repeats` shuffles (Breiman 2001). About 0 for a feature the model does without, also below. Unlike gain it says what the
 * model uses on rows it was not fitted on, and is not drawn to features with many values.
 *
 * @param score scores of a row-major matrix as wide as `set`; called `features × repeats + 1` times on a matrix used again.
 */
export async function permutationImportance(
  score: (x: Float32Array) => Float32Array | Promise<Float32Array>,
  set: Pick<TrainingSet, 'names' | 'x' | 'y'>,
  seed: number,
  repeats = 1,
): Promise<Float64Array> {
  const width = set.names.length
  const x = set.x.slice()
  const whole = averagePrecision(await score(x), set.y)
  const importance = new Float64Array(width)
  for (let feature = 0; feature < width; feature++) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      shuffleColumn(x, width, feature, seed, repeat)
      importance[feature] += (whole - averagePrecision(await score(x), set.y)) / repeats
    }
    for (let at = feature; at < x.length; at += width) x[at] = set.x[at]
  }
  return importance
}

/** Shuffles one column in place (Fisher and Yates). */
function shuffleColumn(x: Float32Array, width: number, feature: number, seed: number, repeat: number): void {
  const random = randomStream(seed, feature, repeat)
  for (let row = x.length / width - 1; row > 0; row--) {
    const [at, other] = [row * width + feature, random.integer(row + 1) * width + feature]
    const value = x[at]
    x[at] = x[other]
    x[other] = value
  }
}
