import type { EpochMs } from '../../datasets/table/transaction.ts'
import type { Lacking } from './continuation.ts'

/** A value that was served and differs from what batch computes. Categories stand as their codes. */
export interface Difference {
  partition: number
  offset: number
  transactionId: number | string
  feature: string
  served: number | null | undefined
  recomputed: number | null
}

export interface ParityReport {
  /** Transactions whose served values were compared. */
  transactions: number
  /** Feature values compared. */
  values: number
  differences: number
  /** The first 20 of them. */
  firstDifferences: Difference[]
  /** How many offsets have more than one prediction of the group, or were passed on between stages more than once. */
  duplicates: number
  /** How many offsets have no prediction, or were not passed on, although later ones of their partition were. */
  missing: number
  /** Records of transactions that stand in history or earlier in the log: none of them counts a second time. */
  repeats: number
  /** The bases on which the compared predictions were made. */
  bases: CoveredBase[]
  /** The stretch of each partition whose predictions were compared. */
  ranges: CoveredRange[]
  /** What lies between history and log, or in holes of the log, as far as the files of the bases show it. */
  lacking: Lacking[]
  /** Predictions that were not compared, and why. */
  uncovered: { predictions: number; reason: string }[]
}

/** A base, and how many predictions were compared with what it gives. */
export interface CoveredBase {
  /** 0: without a backfill. */
  version: number
  /** Where its history ends, EpochMs, and the digest of the file. */
  until?: EpochMs
  fileDigest?: string
  transactions: number
}

/** Offsets of the input, both included, and the event times of their transactions, EpochMs. */
export interface CoveredRange {
  partition: number
  from: number
  to: number
  since: EpochMs
  until: EpochMs
}
