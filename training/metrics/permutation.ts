import { randomStream } from '../../datasets/random/random.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { Pruned } from '../fit/report.ts'
import { averagePrecision } from './metrics.ts'

/** How far the average precision falls when a feature's values are shuffled among the rows: mean and standard deviation over the shuffles. */
export interface Fall {
  mean: number
  deviation: number
}

export interface Shuffles {
  seed: number
  /** Of each feature. */
  repeats: number
  /** Called after each shuffle with how many are done, of `features × repeats`. False prunes. */
  report?: (done: number, total: number) => boolean
}

/**
 * By feature, the fall of the average precision under shuffles of its values (Breiman 2001). About 0 for a feature the model
 * does without, also below; of two features that say the same, either may look needless. Unlike gain it says what the model
 * uses on rows it was not fitted on, and is not drawn to features with many values. The deviation is of the shuffles made,
 * as scikit-learn has it: 0 for one.
 *
 * @param score scores of a row-major matrix as wide as `set`; called `features × repeats + 1` times on a matrix used again.
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
