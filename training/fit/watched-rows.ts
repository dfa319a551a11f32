import { z } from 'zod'
import { UserError } from '../../configs/user-error.ts'
import { subset, type TrainingSet } from '../../features/backfill/training-set.ts'
import { requireLabels } from './labels.ts'

/** The parameter `watch_share` of every estimator that can watch rows. */
export const watchShare = z
  .number()
  .min(0)
  .max(0.9)
  .default(0)
  .describe('latest share of the training rows that is watched instead of fitted on')

/** The parameters that decide which rows are watched. */
export interface WatchParams {
  watch_share: number
  early_stopping_rounds?: number
}

/**
 * Parts the watched rows, the latest `watch_share`, from the rows to fit on.
 *
 * @throws UserError when early stopping is asked for without rows to watch, or when a part lacks a class.
 */
export function partWatched(set: TrainingSet, params: WatchParams): { fitted: TrainingSet; watched?: TrainingSet } {
  const { watch_share: share, early_stopping_rounds: patience = 0 } = params
  if (patience > 0 && share === 0) {
    throw new UserError('early_stopping_rounds needs rows to watch. Add: --param watch_share=0.2')
  }
  if (share === 0) {
    requireLabels(set, 'to fit on')
    return { fitted: set }
  }
  const rows = Int32Array.from({ length: set.rows }, (_, row) => row)
  const first = Math.floor(set.rows * (1 - share))
  const watched = subset(set, rows.subarray(first))
  const where = `in the watched part (watch_share=${share})`
  requireLabels(watched, where, 'Give a larger watch_share, or a longer training period.')
  const fitted = subset(set, rows.subarray(0, first))
  requireLabels(fitted, 'to fit on')
  return { fitted, watched }
}
