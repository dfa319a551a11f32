import { UserError } from '../../configs/user-error.ts'
import { DAY, type EpochMs, type KeyColumn } from '../../datasets/table/transaction.ts'

/*
 * Everything here takes scores and labels of the same length, row by row, in any order. Scores are float32, as a model
 * gives them; larger means more suspicious. Labels are 0 or 1. An alert is `score >= threshold`.
 */

/**
 * What the curves below have in common: a point for each distinct score, taken as the threshold, from the largest down.
 */
interface Curve {
  /** Alerts raised at each point, rising. */
  alerts: Float64Array
  /** Frauds among the alerts. */
  hits: Float64Array
  /** How many entries of `alerts` and `hits` are filled. */
  points: number
  rows: number
  frauds: number
}

/**
 * Packs score and label of each row into one whole number below 2^33 that sorts as the score does. So a native numeric
 * sort orders all rows at once, several times as fast as sorting row numbers with a comparison function.
 */
function curveOf(scores: Float32Array, y: Uint8Array): Curve {
  const rows = scores.length
  if (y.length !== rows) throw new Error(`${rows} scores and ${y.length} labels`)
  const keys = new Float64Array(rows)
  // Adding 0 makes −0 a 0, since the two must tie.
  const plain = scores.map((score) => score + 0)
  const bits = new Uint32Array(plain.buffer)
  for (let row = 0; row < rows; row++) {
    if (Number.isNaN(plain[row])) throw new Error(`Score of row ${row} is NaN`)
    const order = bits[row] >= 2 ** 31 ? ~bits[row] >>> 0 : bits[row] + 2 ** 31
    keys[row] = order * 2 + y[row]
  }
  keys.sort()
  const curve: Curve = { alerts: new Float64Array(rows), hits: new Float64Array(rows), points: 0, rows, frauds: 0 }
  for (let i = rows - 1; i >= 0; i--) {
    curve.frauds += keys[i] % 2
    if (i > 0 && Math.floor(keys[i] / 2) === Math.floor(keys[i - 1] / 2)) continue
    curve.alerts[curve.points] = rows - i
    curve.hits[curve.points++] = curve.frauds
  }
  return curve
}

function bothClasses(curve: Curve): Curve {
  const kinds: [number, string][] = [
    [curve.frauds, 'fraud'],
    [curve.rows - curve.frauds, 'genuine transaction'],
  ]
  for (const [count, kind] of kinds) {
    if (count > 0) continue
    throw new UserError(`No ${kind} among the ${curve.rows} rows to judge on. Choose a longer or another test period.`)
  }
  return curve
}

/**
 * Average precision: Σ (R_n − R_{n−1}) · P_n over the distinct scores from the largest down, without
 * interpolation, as scikit-learn computes it. Rows that tie share one threshold, so their order does not matter.
 *
 * @throws UserError when a class is missing.
 */
export function averagePrecision(scores: Float32Array, y: Uint8Array): number {
  const { alerts, hits, points, frauds } = bothClasses(curveOf(scores, y))
  let sum = 0
  for (let n = 0, before = 0; n < points; before = hits[n++]) {
    sum += ((hits[n] - before) / frauds) * (hits[n] / alerts[n])
  }
  return sum
}

/**
 * Area under the ROC curve: the share of (fraud, genuine) pairs in which the fraud scores higher. A tie counts half.
 *
 * @throws UserError when a class is missing.
 */
export function rocAuc(scores: Float32Array, y: Uint8Array): number {
  const { alerts, hits, points, frauds, rows } = bothClasses(curveOf(scores, y))
  let pairs = 0
  for (let n = 0, [hit, miss] = [0, 0]; n < points; n++) {
    const misses = alerts[n] - hits[n]
    pairs += (misses - miss) * (hit + (hits[n] - hit) / 2)
    ;[hit, miss] = [hits[n], misses]
  }
  return pairs / frauds / (rows - frauds)
}

/**
 * The largest recall at any threshold whose false positive rate (alerted genuine rows / genuine rows) is at most
 * `rate`.
 *
 * @throws UserError when a class is missing.
 */
export function recallAtFpr(scores: Float32Array, y: Uint8Array, rate: number): number {
  const { alerts, hits, points, frauds, rows } = bothClasses(curveOf(scores, y))
  let recall = 0
  for (let n = 0; n < points && alerts[n] - hits[n] <= rate * (rows - frauds); n++) recall = hits[n] / frauds
  return recall
}

/** Decisions at one threshold. A ratio whose denominator is 0 is 0, for example the precision of no alerts. */
export interface Decisions {
  alerts: number
  precision: number
  recall: number
  f1: number
}

/** Precision, recall and their harmonic mean (F1) when `score >= threshold` raises an alert. */
export function decisionsAt(scores: Float32Array, y: Uint8Array, threshold: number): Decisions {
  let [alerts, hits, frauds] = [0, 0, 0]
  for (let row = 0; row < scores.length; row++) {
    const alert = scores[row] >= threshold ? 1 : 0
    alerts += alert
    const fraud = y[row] === 1 ? 1 : 0
    hits += alert & fraud
    frauds += fraud
  }
  return { alerts, precision: share(hits, alerts), recall: share(hits, frauds), f1: share(2 * hits, alerts + frauds) }
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole
}

/** Scored transactions and their cards. */
export interface ScoredCards {
  scores: Float32Array
  y: Uint8Array
  time: ArrayLike<EpochMs>
  cards: KeyColumn
}

/**
 * The Fraud Detection Handbook's card precision@k, the mean over all UTC days with transactions.
 *
 * On each day, a card scores as its highest transaction of that day, and is compromised when any of these is a fraud.
 * The k cards of highest score are checked. The precision of the day is the number of compromised cards among them,
 * over k (even when there are fewer cards). Compromised cards that were found are left out on all later days.
 *
 * Cards that tie for the k-th place are taken in rising order of their key. The Handbook leaves their order undefined.
 */
export function cardPrecisionAtK({ scores, y, time, cards }: ScoredCards, k: number): number {
  const days = Map.groupBy(y.keys(), (row) => Math.floor(time[row] / DAY))
  const found = new Set<number | string>()
  let sum = 0
  for (const day of [...days.keys()].sort((a, b) => a - b)) {
    const ranked = rankCards({ scores, y, time, cards }, days.get(day) ?? [], found).slice(0, k)
    const compromised = ranked.filter((card) => card.fraud)
    for (const card of compromised) found.add(card.key)
    sum += compromised.length / k
  }
  return days.size === 0 ? 0 : sum / days.size
}

/** One card on one day. */
interface CardDay {
  key: number | string
  score: number
  fraud: boolean
}

function rankCards({ scores, y, cards }: ScoredCards, rows: number[], without: Set<number | string>): CardDay[] {
  const byKey = new Map<number | string, CardDay>()
  for (const row of rows) {
    const key = cards[row]
    if (without.has(key)) continue
    const card = byKey.get(key)
    if (card === undefined) byKey.set(key, { key, score: scores[row], fraud: y[row] === 1 })
    else {
      card.score = Math.max(card.score, scores[row])
      card.fraud ||= y[row] === 1
    }
  }
  return [...byKey.values()].sort((a, b) => b.score - a.score || (a.key < b.key ? -1 : 1))
}
