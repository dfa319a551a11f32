import { differenceInterval } from '../../training/metrics/paired-bootstrap.ts'
import { median } from '../bench/world.ts'
import type { Found } from './search.ts'

/** Fixed, so that a set is always judged on the same resamples. */
const SEED = 2026

/** Our best model on a set beside the peers' best, by the median over seeds, and how certain the difference is. */
export interface Advantage {
  set: string
  ours: Found
  peer: Found
  difference: number
  /** In 95 % of resamples of the test rows, the difference lies between `low` and `high`. */
  low: number
  high: number
}

/**
 * @param found models of one set.
 * @param y labels of the set's test rows.
 */
export function advantageOf(found: Found[], y: Uint8Array): Advantage {
  const best = (some: Found[]): Found =>
    some.reduce((one, other) => (median(other.test) > median(one.test) ? other : one))
  const ours = best(found.filter(({ contestant }) => contestant === 'fd'))
  const peer = best(found.filter(({ contestant }) => contestant !== 'fd'))
  const [low, high] = differenceInterval(ours.scores, peer.scores, y, SEED)
  return { set: ours.set, ours, peer, difference: median(ours.test) - median(peer.test), low, high }
}
