import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { countCategories, medianRank, mostFrequent, type CategoryRanks } from './encoder.ts'

/**
 * Turns each category into its surprisal, −log2 of its share of the rows, so that rare categories lie far out. Does
 * not look at labels.
 *
 * A category never seen, or missing, counts as surprising as that of the median row. Of a new merchant nothing is
 * known; were it as rare as a single row, everything new would be an alert.
 */
export function fitRarities(set: TrainingSet): CategoryRanks[] {
  return set.categorical.map((column) => {
    const known = mostFrequent(countCategories(set, column), 1)
    const ranks = Float32Array.from(known, ({ rows }) => Math.log2(set.rows / rows))
    const names = known.map(({ name }) => name)
    return { feature: column.feature, names, ranks, unknown: medianRank(known, ranks) }
  })
}
