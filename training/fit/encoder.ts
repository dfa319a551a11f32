import type { TrainingSet } from '../../features/backfill/training-set.ts'

/**
 * Every category starts with this many rows at the overall fraud rate, so that a rare category does not rank by chance.
 */
const SMOOTHING = 20

/** The ranks that training gave to the codes of one categorical column. */
export interface CategoryRanks {
  /** Column of the matrix. */
  feature: number
  /** Category codes seen in training, rising. */
  codes: Float32Array
  /** Their ranks, from 1, rising with the smoothed fraud rate. Equal rates share a rank. */
  ranks: Float32Array
  /** Rank of any other code and of NaN: the place of the overall fraud rate, halfway between two ranks. */
  unknown: number
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
 */
export function fitEncoder(set: TrainingSet): CategoryRanks[] {
  if (set.categorical.length === 0) return []
  const prior = set.y.reduce((sum, label) => sum + label, 0) / set.rows
  return set.categorical.map((feature) => {
    const seen = countCategories(set, feature)
    const codes = Float32Array.from(seen.keys()).sort()
    const rates = Array.from(codes, (code) => smoothed(seen.get(code) ?? { rows: 0, frauds: 0 }, prior))
    const levels = [...new Set(rates)].sort((a, b) => a - b)
    const rankOf = new Map(levels.map((rate, index) => [rate, index + 1]))
    const unknown = levels.filter((rate) => rate < prior).length + 0.5
    return { feature, codes, ranks: Float32Array.from(rates, (rate) => rankOf.get(rate) ?? unknown), unknown }
  })
}

/** Rows of one category, and the frauds among them. */
interface CategoryCounts {
  rows: number
  frauds: number
}

/** Counts by code in one column; missing codes (NaN) are left out. */
function countCategories(set: TrainingSet, feature: number): Map<number, CategoryCounts> {
  const seen = new Map<number, CategoryCounts>()
  for (let row = 0, at = feature; row < set.rows; row++, at += set.names.length) {
    if (Number.isNaN(set.x[at])) continue
    const own = seen.get(set.x[at])
    if (own === undefined) seen.set(set.x[at], { rows: 1, frauds: set.y[row] })
    else {
      own.rows++
      own.frauds += set.y[row]
    }
  }
  return seen
}

function smoothed({ rows, frauds }: CategoryCounts, prior: number): number {
  return (frauds + SMOOTHING * prior) / (rows + SMOOTHING)
}

/** A copy of `x` (row-major, `features` wide) with ranks for codes, or `x` itself when there is nothing to replace. */
export function encode(encoder: CategoryRanks[], x: Float32Array, features: number): Float32Array {
  if (encoder.length === 0) return x
  const encoded = x.slice()
  for (const { feature, codes, ranks, unknown } of encoder) {
    const rankOf = new Map(Array.from(codes, (code, i) => [code, ranks[i]]))
    for (let at = feature; at < encoded.length; at += features) encoded[at] = rankOf.get(encoded[at]) ?? unknown
  }
  return encoded
}
