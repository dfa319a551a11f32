import { averagePrecision } from './metrics.ts'

/** Sums that rank the watched rows, and the labels of those rows (0 or 1). */
export interface WatchedSums {
  sums: Float32Array
  y: Uint8Array
}

/**
 * Average precision of the watched rows, the value that a fit reports after each round. NaN without watched rows.
 *
 * @throws UserError when a class is missing.
 */
export function watchedPrecision(watched: WatchedSums | undefined): number {
  return watched === undefined ? Number.NaN : averagePrecision(watched.sums, watched.y)
}
