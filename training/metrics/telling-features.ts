import { UNLABELLED } from '../../datasets/table/transaction.ts'
import type { TrainingSet } from '../../features/backfill/training-set.ts'
import { averagePrecision } from './metrics.ts'

/** A feature by which alone the rows can be ranked nearly without fault. */
export interface TellingFeature {
  feature: string
  averagePrecision: number
}

/** Average precision above which a feature is suspected of holding the label. */
const SUSPICIOUS = 0.98
/** The latest rows that are looked at. One sort of them per feature and direction costs milliseconds. */
const MOST_ROWS = 50_000
/** Fewer frauds than this may stand at the end of some feature by chance. */
const LEAST_FRAUDS = 5

/**
 * The features that alone reach an average precision above .98 on the latest of the given rows, in order. Real features
 * do not: one that does most likely became known together with the label.
 *
 * A number counts in both directions, with missing values at either end. A category counts by its share of frauds among
 * every other row, and is judged on the rows between, since a column of unique values would tell all of its own rows.
 *
 * @param rows of the set. Those without a label are passed over.
 */
export function tellingFeatures(set: TrainingSet, rows: Int32Array): TellingFeature[] {
  const judged = rows.filter((row) => set.y[row] !== UNLABELLED).slice(-MOST_ROWS)
  const y = Uint8Array.from(judged, (row) => set.y[row])
  const frauds = y.reduce((sum, label) => sum + label, 0)
  if (frauds < LEAST_FRAUDS || frauds === y.length) return []
  return set.names.flatMap((feature, at) => {
    const column = Float32Array.from(judged, (row) => set.x[row * set.names.length + at])
    const isCategory = set.categorical.some((category) => category.feature === at)
    const precision = isCategory ? precisionOfCategory(column, y) : precisionOfNumber(column, y)
    return precision > SUSPICIOUS ? [{ feature, averagePrecision: precision }] : []
  })
}

function precisionOfNumber(column: Float32Array, y: Uint8Array): number {
  const ends = column.some((value) => Number.isNaN(value)) ? [-Infinity, Infinity] : [0]
  const orders = ends.flatMap((missing) =>
    [1, -1].map((sign) => column.map((value) => (Number.isNaN(value) ? missing : sign * value))),
  )
  return Math.max(...orders.map((scores) => averagePrecision(scores, y)))
}

function precisionOfCategory(column: Float32Array, y: Uint8Array): number {
  const counts = new Map<number, { rows: number; frauds: number }>()
  const judged: number[] = []
  for (let row = 0; row < y.length; row++) {
    if (row % 2 === 1) {
      judged.push(row)
      continue
    }
    const count = counts.get(column[row]) ?? { rows: 0, frauds: 0 }
    count.rows++
    count.frauds += y[row]
    counts.set(column[row], count)
  }
  const labels = Uint8Array.from(judged, (row) => y[row])
  if (!labels.includes(0) || !labels.includes(1)) return 0
  const scores = Float32Array.from(judged, (row) => {
    const { rows, frauds } = counts.get(column[row]) ?? { rows: 1, frauds: 0 }
    return frauds / rows
  })
  return averagePrecision(scores, labels)
}
