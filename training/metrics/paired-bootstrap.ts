import { randomStream, type Random } from '../../datasets/random/random.ts'
import type { KeyColumn } from '../../datasets/table/transaction.ts'

const RESAMPLES = 1000

/**
 * The interval that holds the difference of two average precisions, `one` minus `other`, in 95 % of resamples of the
 * rows: the paired percentile bootstrap (Efron 1979). A resample draws with replacement, the same for both. It shows
 * what a difference is worth: with a hundred frauds in the test rows, thousandths are no evidence.
 *
 * What is drawn is a row, or with `units` all rows of a unit at once. Transactions of one card are alike, so drawing
 * them one by one would take repetitions for evidence (the cluster bootstrap: Field and Welsh 2007).
 *
 * A resample without a fraud or without a genuine row has no average precision and is drawn again.
 *
 * @param units the unit of each row, such as its card. Default: each row is a unit.
 * @throws Error when `y` lacks a class.
 */
export function differenceInterval(
  one: Float32Array,
  other: Float32Array,
  y: Uint8Array,
  seed: number,
  units?: KeyColumn,
): [low: number, high: number] {
  const frauds = y.reduce((sum, label) => sum + label, 0)
  if (frauds === 0 || frauds === y.length) throw new Error('No interval without rows of both classes')
  const unitOf = numbered(units, y.length)
  const [a, b] = [rank(one), rank(other)]
  const random = randomStream(seed)
  const times = new Int32Array(unitOf.reduce((most, unit) => Math.max(most, unit), 0) + 1)
  const differences = new Float64Array(RESAMPLES)
  for (let drawn = 0; drawn < RESAMPLES;) {
    draw(random, times)
    const difference = weightedPrecision(a, y, unitOf, times) - weightedPrecision(b, y, unitOf, times)
    if (!Number.isNaN(difference)) differences[drawn++] = difference
  }
  differences.sort()
  return [differences[Math.floor(RESAMPLES * 0.025)], differences[Math.ceil(RESAMPLES * 0.975) - 1]]
}

/** The units as numbers from 0, in the order in which they come. */
function numbered(units: KeyColumn | undefined, rows: number): Int32Array {
  if (units === undefined) return Int32Array.from({ length: rows }, (_, row) => row)
  const numbers = new Map<number | string, number>()
  return Int32Array.from({ length: rows }, (_, row) => {
    const known = numbers.get(units[row])
    if (known !== undefined) return known
    numbers.set(units[row], numbers.size)
    return numbers.size - 1
  })
}

/** How often each unit is drawn, in as many draws as there are units. */
function draw(random: Random, times: Int32Array): void {
  times.fill(0)
  for (let i = 0; i < times.length; i++) times[random.integer(times.length)]++
}

/** Rows from the highest score down. */
interface Ranking {
  order: Int32Array
  /** 1 where the next row of the order has a lower score: rows that tie are alerted together. */
  ends: Uint8Array
}

/** The order is made once, since a resample changes how often a row counts, but not its place. */
function rank(scores: Float32Array): Ranking {
  const order = Int32Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a])
  const ends = Uint8Array.from(order, (row, i) => (scores[row] === scores[order[i + 1]] ? 0 : 1))
  return { order, ends }
}

/** Average precision where each row counts as often as its unit was drawn; NaN when a class was not drawn. */
function weightedPrecision({ order, ends }: Ranking, y: Uint8Array, unitOf: Int32Array, times: Int32Array): number {
  let [alerts, hits, before, sum] = [0, 0, 0, 0]
  for (let i = 0; i < order.length; i++) {
    const row = order[i]
    const weight = times[unitOf[row]]
    alerts += weight
    if (y[row] === 1) hits += weight
    if (ends[i] === 0 || hits === before) continue
    sum += ((hits - before) * hits) / alerts
    before = hits
  }
  return hits === alerts ? Number.NaN : sum / hits
}
