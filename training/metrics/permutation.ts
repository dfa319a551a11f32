import { randomStream } from '../../datasets/random/random.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { Pruned } from '../fit/report.ts'
import { averagePrecision } from './metrics.ts'

/**
 * How far the average precision falls when the values of a feature are shuffled among the rows: mean and standard
 * deviation over the shuffles.
 */
export interface Fall {
  mean: number
  deviation: number
}

export interface Shuffles {
  seed: number
  /** How often each feature is shuffled. */
  repeats: number
  /** Called after each shuffle. `done` of `total = features × repeats` shuffles are done. Answering false prunes. */
  report?: (done: number, total: number) => boolean
}

/**
 * For each feature, the fall of the average precision under shuffles of its values (Breiman 2001).
 *
 * A feature that the model does without falls by about 0, or by a little less than 0. Of two features that say the
 * same, either may look needless. Unlike gain, this measures what the model uses on rows it was not fitted on, and does
 * not favour features with many values. As in scikit-learn, the deviation is that of the shuffles made, so it is 0 for
 * one shuffle.
 *
 * @param score scores the rows of a row-major matrix as wide as `set`. It is called `features × repeats + 1` times on
 *   the same matrix, which changes between the calls.
 * @throws Pruned when `report` answers false.
 */
export async function permutationImportance(
  score: (x: Float32Array) => Float32Array | Promise<Float32Array>,
  set: Pick<TrainingSet, 'names' | 'x' | 'y'>,
  { seed, repeats, report = () => true }: Shuffles,
): Promise<Fall[]> {
  const width = set.names.length
  const x = set.x.slice()
  const whole = averagePrecision(await score(x), set.y)
  const importance: Fall[] = []
  for (let feature = 0; feature < width; feature++) {
    const falls: number[] = []
    for (let repeat = 0; repeat < repeats; repeat++) {
      shuffleColumn(x, width, feature, seed, repeat)
      falls.push(whole - averagePrecision(await score(x), set.y))
      const done = feature * repeats + falls.length
      if (!report(done, width * repeats)) throw new Pruned(done, whole)
    }
    importance.push(momentsOf(falls))
    for (let at = feature; at < x.length; at += width) x[at] = set.x[at]
  }
  return importance
}

function momentsOf(values: number[]): Fall {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) }
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
