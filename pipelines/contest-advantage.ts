import { randomStream } from '../datasets/random.ts'
import { averagePrecision } from '../training/metrics.ts'
import { median } from './bench-world.ts'
import type { Found } from './contest-search.ts'

const RESAMPLES = 500
/** The same resamples whenever a set is judged. */
const SEED = 2026

/** Our best model of a set beside the best of the peers', by the median over seeds, and how sure the difference is. */
export interface Advantage {
  set: string
  ours: Found
  peer: Found
  difference: number
  /** Between these lies the difference in 95 % of resamples of the test rows. */
  low: number
  high: number
}

/** `found` of one set, and the labels of its test rows. */
export function advantageOf(found: Found[], y: Uint8Array): Advantage {
  const best = (some: Found[]): Found => some.reduce((one, other) => (median(other.test) > median(one.test) ? other : one))
  const ours = best(found.filter(({ contestant }) => contestant === 'fd'))
  const peer = best(found.filter(({ contestant }) => contestant !== 'fd'))
  const [low, high] = differenceInterval(ours.scores, peer.scores, y, SEED)
  return { set: ours.set, ours, peer, difference: median(ours.test) - median(peer.test), low, high }
}

/**
 * Between which values the difference of average precisions lies in 95 % of resamples of the rows, drawn with replacement and the
 * same for both (Efron 1979): with a hundred frauds in the test rows thousandths are no evidence.
 */
export function differenceInterval(one: Float32Array, other: Float32Array, y: Uint8Array, seed: number): [low: number, high: number] {
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
