import { differenceInterval } from '../../training/metrics/paired-bootstrap.ts'
import { median } from '../bench/world.ts'
import type { Found } from './search.ts'

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
  const best = (some: Found[]): Found =>
    some.reduce((one, other) => (median(other.test) > median(one.test) ? other : one))
  const ours = best(found.filter(({ contestant }) => contestant === 'fd'))
  const peer = best(found.filter(({ contestant }) => contestant !== 'fd'))
  const [low, high] = differenceInterval(ours.scores, peer.scores, y, SEED)
  return { set: ours.set, ours, peer, difference: median(ours.test) - median(peer.test), low, high }
}
