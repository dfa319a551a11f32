import type { TrainingSet } from '../../features/backfill/training-set.ts'

/** Rows' worth of the overall fraud rate that every category starts with, so that a rare one does not rank by chance. */
const SMOOTHING = 20

/** What the codes of one categorical column became in training. */
export interface CategoryRanks {
  /** Column of the matrix. */
  feature: number
  /** Category codes seen in training, rising. */
  codes: Float32Array
  /** Their ranks, from 1: rising with the smoothed fraud rate, equal rates sharing a rank. */
  ranks: Float32Array
  /** Rank of any other code and of NaN: where the overall fraud rate stands, halfway between two ranks. */
  unknown: number
}

/**
 * Learns an order of each categorical column's categories: by `(frauds + 20 · p) / (rows + 20)` with p the overall rate
 * (Micci-Barreca 2001). At the overall rate the gradient of a row is p − y and its hessian p (1 − p), so this is also the
 * order by smoothed gradient statistics, ΣG / (ΣH + 20 · p (1 − p)), in which LightGBM tries a node's categories; found once,
 * and not at every node, since one order fits into one graph. More categories than bins share bins. A tree splits ranks as it splits numbers, and ranks, unlike rates, survive float32 unblurred.
 */
export function fitEncoder(set: TrainingSet): CategoryRanks[] {
  if (set.categorical.length === 0) return []
  const prior = set.y.reduce((sum, label) => sum + label, 0) / set.rows
  return set.categorical.map((feature) => {
    const seen = new Map<number, { rows: number; frauds: number }>()
    for (let row = 0, at = feature; row < set.rows; row++, at += set.names.length) {
      if (Number.isNaN(set.x[at])) continue
      const own = seen.get(set.x[at])
      if (own === undefined) seen.set(set.x[at], { rows: 1, frauds: set.y[row] })
      else {
        own.rows++
        own.frauds += set.y[row]
      }
    }
    const codes = Float32Array.from(seen.keys()).sort()
    const rates = Array.from(codes, (code) => smoothed(seen.get(code) ?? { rows: 0, frauds: 0 }, prior))
    const levels = [...new Set(rates)].sort((a, b) => a - b)
    const rankOf = new Map(levels.map((rate, index) => [rate, index + 1]))
    const unknown = levels.filter((rate) => rate < prior).length + 0.5
    return { feature, codes, ranks: Float32Array.from(rates, (rate) => rankOf.get(rate) ?? unknown), unknown }
  })
}

function smoothed({ rows, frauds }: { rows: number; frauds: number }, prior: number): number {
  return (frauds + SMOOTHING * prior) / (rows + SMOOTHING)
}

/** `x` (row-major, `features` wide) with codes replaced by ranks; `x` itself when there is nothing to replace. */
export function encode(encoder: CategoryRanks[], x: Float32Array, features: number): Float32Array {
  if (encoder.length === 0) return x
  const encoded = x.slice()
  for (const { feature, codes, ranks, unknown } of encoder) {
    const rankOf = new Map(Array.from(codes, (code, i) => [code, ranks[i]]))
    for (let at = feature; at < encoded.length; at += features) encoded[at] = rankOf.get(encoded[at]) ?? unknown
  }
  return encoded
}
