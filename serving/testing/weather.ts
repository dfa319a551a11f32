import type { Random } from '../../datasets/random/random.ts'

/** What may happen in a schedule. Without a word, a seed chooses. */
export interface Weather {
  partitions: number
  members: number
  events: number
  /** Whether some transactions have no terminal. */
  blankKeys: boolean
  maxBatch: number
  checkpointEveryMs: number
  refused: number
  unanswered: number
  /** How likely each is at a step. */
  kill: number
  evict: number
  stop: number
  /** The only kill, if given, is at this step. */
  killAt?: number
}

export function weatherOf(random: Random): Weather {
  const sometimes = (most: number): number => (random.integer(2) === 0 ? 0 : random.uniform() * most)
  return {
    partitions: [1, 1, 2, 3][random.integer(4)],
    members: [1, 2, 2, 3][random.integer(4)],
    events: 4 + random.integer(16),
    blankKeys: true,
    maxBatch: 1 + random.integer(8),
    checkpointEveryMs: 1 + random.integer(60),
    refused: sometimes(0.02),
    unanswered: sometimes(0.02),
    kill: sometimes(0.03),
    evict: sometimes(0.03),
    stop: sometimes(0.02),
  }
}
