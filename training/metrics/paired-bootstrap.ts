import { randomStream } from '../../datasets/random/random.ts'
import { averagePrecision } from './metrics.ts'

const RESAMPLES = 500

/**
 * The interval that holds the difference of two average precisions, `one` minus `other`, in 95 % of resamples of the
 * rows. Rows are drawn with replacement, the same for both (Efron 1979). It shows what a difference is worth: with a
 * hundred frauds in the test rows, thousandths are no evidence.
 */
export function differenceInterval(
  one: Float32Array,
  other: Float32Array,
  y: Uint8Array,
  seed: number,
): [low: number, high: number] {
  const random = randomStream(seed)
  const [a, b, labels] = [new Float32Array(y.length), new Float32Array(y.length), new Uint8Array(y.length)]
  const differences = Array.from({ length: RESAMPLES }, () => {
    for (let i = 0; i < y.length; i++) {
      const row = random.integer(y.length)
      a[i] = one[row]
      b[i] = other[row]
      labels[i] = y[row]
    }
    return averagePrecision(a, labels) - averagePrecision(b, labels)
  }).sort((x, z) => x - z)
  return [differences[Math.floor(RESAMPLES * 0.025)], differences[Math.ceil(RESAMPLES * 0.975) - 1]]
}
