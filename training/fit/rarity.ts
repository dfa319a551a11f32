import type { TrainingSet } from '../../features/backfill/training-set.ts'
import type { CategoryRanks } from './encoder.ts'

/**
 * Turns each category into its surprisal, −log2 of its share of the rows, so that rare categories lie far out. Does
 * not look at labels. A category never seen, or missing, counts as rare as a single row.
 */
export function fitRarities(set: TrainingSet): CategoryRanks[] {
  const width = set.names.length
  return set.categorical.map((feature) => {
    const counts = new Map<number, number>()
    for (let at = feature; at < set.x.length; at += width) {
      if (!Number.isNaN(set.x[at])) counts.set(set.x[at], (counts.get(set.x[at]) ?? 0) + 1)
    }
    const codes = Float32Array.from(counts.keys()).sort()
    const ranks = codes.map((code) => Math.log2(set.rows / (counts.get(code) ?? 1)))
    return { feature, codes, ranks, unknown: Math.fround(Math.log2(set.rows)) }
  })
}
