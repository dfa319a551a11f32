import { z } from 'zod'
import type { CategoricalColumn, TrainingSet } from '../../features/backfill/training-set.ts'

/**
 * Every category starts with this many rows at the overall fraud rate, so that a rare category does not rank by chance.
 */
const SMOOTHING = 20

/** Most names in the dictionary of one column: the most frequent. The others count as unseen. */
export const MOST_CATEGORIES = 65_536

/** The parameter `min_category_rows` of every estimator that ranks categories. */
export const minCategoryRows = z
  .number()
  .int()
  .min(1)
  .default(10)
  .describe('least rows of a category that gets a rank; a rarer one counts as missing')

/** The dictionary of one categorical column, which belongs to the model: a number for each name that it knows. */
export interface CategoryRanks {
  /** Column of the matrix. */
  feature: number
  /** Names, each once, in the order of their UTF-16 units. Missing ('') is never among them. */
  names: string[]
  /** Their numbers. A rank counts from 1 and rises with the smoothed fraud rate. Equal rates share a rank. */
  ranks: Float32Array
  /** What any other name gets, and a missing one. NaN: a missing number. */
  unknown: number
}

/** How ranks are learned. */
export interface RankRules {
  /** Categories of fewer rows get no rank. */
  minRows: number
  /**
   * What stands for a name without a rank. `missing`: NaN, which trees send the way they learned for missing values,
   * or with the heavier child, and which a network reads as the mean. `median`: the rank of the median row, for an
   * estimator that has no way for missing values.
   */
  unknown: 'missing' | 'median'
}

/**
 * Learns an order of each categorical column's categories, by smoothed fraud rate: `(frauds + 20 · p) / (rows + 20)`,
 * where p is the overall rate (Micci-Barreca 2001).
 *
 * LightGBM tries the categories of a node in the order of their smoothed gradient statistics, ΣG / (ΣH + 20 · p (1
 * − p)). At the overall rate a row has gradient p − y and hessian p (1 − p), so that order is this one. But
 * LightGBM finds it anew at every node; here it is found once, because only one order fits into one graph.
 *
 * A tree splits ranks as it splits numbers. More categories than bins share bins. Ranks, unlike rates, survive float32
 * unblurred.
 *
 * A category of few rows gets no rank. Its rate would be little more than its own label, which the fit would then read
 * back. It counts as missing instead, and so the fit learns from the rare ones what to think of those it never saw.
 */
export function fitEncoder(set: TrainingSet, { minRows, unknown }: RankRules): CategoryRanks[] {
  if (set.categorical.length === 0) return []
  const prior = set.y.reduce((sum, label) => sum + label, 0) / set.rows
  return set.categorical.map((column) => {
    const known = mostFrequent(countCategories(set, column), minRows)
    const rates = known.map(({ rows, frauds }) => (frauds + SMOOTHING * prior) / (rows + SMOOTHING))
    const levels = [...new Set(rates)].sort((a, b) => a - b)
    const rankOf = new Map(levels.map((rate, index) => [rate, index + 1]))
    const ranks = Float32Array.from(rates, (rate) => rankOf.get(rate) ?? Number.NaN)
    return {
      feature: column.feature,
      names: known.map(({ name }) => name),
      ranks,
      unknown: unknown === 'missing' ? Number.NaN : medianRank(known, ranks),
    }
  })
}

/** A category, its rows, and the frauds among them. */
export interface CategoryCounts {
  name: string
  rows: number
  frauds: number
}

/** Counts of the categories of one column. Missing ones are left out, and rows without a label are no frauds. */
export function countCategories(set: TrainingSet, { feature, names }: CategoricalColumn): CategoryCounts[] {
  const counts = names.map((name) => ({ name, rows: 0, frauds: 0 }))
  for (let row = 0, at = feature; row < set.rows; row++, at += set.names.length) {
    if (Number.isNaN(set.x[at])) continue
    const own = counts[set.x[at]]
    own.rows++
    if (set.y[row] === 1) own.frauds++
  }
  return counts
}

/** Those of at least `minRows` rows, at most `MOST_CATEGORIES` of them, by name. Of equally frequent ones the first. */
export function mostFrequent(counts: CategoryCounts[], minRows: number): CategoryCounts[] {
  const byName = counts.filter(({ rows }) => rows >= minRows).sort((a, b) => (a.name < b.name ? -1 : 1))
  if (byName.length <= MOST_CATEGORIES) return byName
  const kept = new Set(byName.toSorted((a, b) => b.rows - a.rows).slice(0, MOST_CATEGORIES))
  return byName.filter((category) => kept.has(category))
}

/** The number of the median of the rows whose category has one; 1 when there are none. */
export function medianRank(known: CategoryCounts[], ranks: Float32Array): number {
  const order = Array.from(known.keys()).sort((a, b) => ranks[a] - ranks[b])
  let left = known.reduce((sum, { rows }) => sum + rows, 0) / 2
  for (const at of order) if ((left -= known[at].rows) <= 0) return ranks[at]
  return 1
}

/**
 * A copy of `x` (row-major, `features` wide) with the model's numbers for categories, or `x` itself when there is
 * nothing to replace.
 *
 * @param categorical the categorical columns of `x`, as its training set names them.
 */
export function encode(
  encoder: CategoryRanks[],
  x: Float32Array,
  features: number,
  categorical: CategoricalColumn[],
): Float32Array {
  if (encoder.length === 0) return x
  const encoded = x.slice()
  for (const { feature, names, ranks, unknown } of encoder) {
    const column = categorical.find((some) => some.feature === feature)
    if (column === undefined) throw new Error(`Column ${feature} holds categories, and the rows do not name them`)
    const rankOf = new Map(names.map((name, i) => [name, ranks[i]]))
    const numbers = Float32Array.from(column.names, (name) => rankOf.get(name) ?? unknown)
    for (let at = feature; at < encoded.length; at += features) {
      encoded[at] = Number.isNaN(encoded[at]) ? unknown : numbers[encoded[at]]
    }
  }
  return encoded
}
