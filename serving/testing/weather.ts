import type { Random } from '../../datasets/random/random.ts'

/** What may happen in a schedule. Without a word, a seed chooses. */
export interface Weather {
  partitions: number
  members: number
  events: number
  /** Whether some transactions have no terminal. */
  blankKeys: boolean
  /** Whether some transactions come as late as is allowed, and some later. */
  hourLate: boolean
  maxBatch: number
  checkpointEveryMs: number
  refused: number
  unanswered: number
  /** How likely each is at a step. */
  kill: number
  evict: number
  stop: number
  /** How likely a process is stopped for a while, long enough for its session to end. */
  pause: number
  /** The only kill, if given, is at this step. */
  killAt?: number
  /** How often the champion or its threshold changes; 0: there is no registry, and one version decides. */
  promotions: number
  /** How often a backfill publishes the same history again; 0: there is no history. */
  bases: number
}

/** One schedule in so many has promotions, and one has backfills: they take four times as long as the others. */
const CHANGED = 12

/** @param extra decides about promotions and bases. Its numbers are not those of `random`. */
export function weatherOf(random: Random, extra: Random): Weather {
  const sometimes = (most: number): number => (random.integer(2) === 0 ? 0 : random.uniform() * most)
  const bases = extra.integer(CHANGED) === 0 ? 1 + extra.integer(4) : 0
  return {
    partitions: [1, 1, 2, 3][random.integer(4)],
    members: [1, 2, 2, 3][random.integer(4)],
    events: 4 + random.integer(16),
    blankKeys: true,
    // A first record from before what history still holds is refused: it may be in the history, and it may not.
    hourLate: bases === 0,
    maxBatch: 1 + random.integer(8),
    checkpointEveryMs: 1 + random.integer(60),
    refused: sometimes(0.02),
    unanswered: sometimes(0.02),
    kill: sometimes(0.03),
    evict: sometimes(0.03),
    stop: sometimes(0.02),
    pause: extra.integer(3) === 0 ? extra.uniform() * 0.02 : 0,
    promotions: extra.integer(CHANGED) === 0 ? 1 + extra.integer(6) : 0,
    bases,
  }
}
