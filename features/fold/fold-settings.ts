import type { DurationMs } from '../../datasets/table/transaction.ts'

/** How a view is folded. */
export interface FoldSettings {
  /** Minor units in one major unit: 100 for cents. */
  scale: number
  /** How far an event may lie behind the newest event of its key and still be folded exactly. Default one hour. */
  lateness?: DurationMs
  /** The most events one ring holds, a power of two, where the view does not say. Default `MAX_EVENTS`. */
  maxEvents?: number
  /** Whether there are refunds. Then a fold of their own goes with that of the payments. Default: not. */
  refunds?: boolean
  /** Whether rings keep the ids of transactions, so that one that comes twice is found. Default: not. */
  ids?: boolean
  /** How far back rings reach at least, lateness not counted. By default as far as the view's windows by time. */
  kept?: DurationMs
  /**
   * How many of the youngest events from before that rings keep at least. By default as many as the view's windows by
   * count need.
   */
  keptLast?: number
}
