import type { AggregateFeature, Aggregation, Window } from '../../../features/view/aggregation.ts'

const UNITS: [unit: string, ms: number][] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
]

/** A length of time as a definition gives it: `7d`, `90m`, `250ms`. */
export function spanText(span: number): string {
  const [unit, ms] = UNITS.find(([, each]) => span % each === 0) ?? ['ms', 1]
  return `${span / ms}${unit}`
}

/** Which events a window holds, seen from a transaction at t: `(t − 7d − 7d, t − 7d]`. */
export function windowText(window: Window): string {
  if ('last' in window) return `the last ${window.last}`
  const delay = window.delay === undefined || window.delay === 0 ? '' : ` − ${spanText(window.delay)}`
  if ('ever' in window) return `(−∞, t${delay}]`
  const begin = `t − ${spanText(window.length)}${delay}`
  return window.hop === undefined
    ? `(${begin}, t${delay}]`
    : `(${begin} back to a whole ${spanText(window.hop)}, t${delay}]`
}

/** What each function gives, over the events of a window. */
export const MEANINGS: Record<Aggregation['function'], string> = {
  count: 'number of payments',
  mean_amount: 'mean amount; 0 where there is none',
  sum_amount: 'sum of the amounts',
  sum: 'sum of the values; 0 where there is none',
  mean: 'mean of the values; missing where there is none',
  std: 'standard deviation of the values (n − 1); missing below two',
  min: 'least value; missing where there is none',
  max: 'largest value; missing where there is none',
  last: 'value of the newest event that has one',
  first: 'value of the oldest event that has one',
  distinct: 'how many different values',
  is_new: "1 where no earlier event has the transaction's own value, else 0",
  share_same: "share of the events that have the transaction's own value",
  fraud_count: 'payments that are known to be fraud by then',
  fraud_share: 'share of the payments that are known to be fraud by then; with a prior, drawn towards it',
  refund_count: 'number of refunds',
  refund_sum: 'sum of what was paid back',
  seconds_since_previous: 'seconds since the payment before, −1 where there is none',
  seconds_since_first: 'seconds since the first payment, −1 where there is none',
}

/** The function, with its column, condition and smoothing where it has them. */
export function computation(feature: AggregateFeature): string {
  const of = 'of' in feature ? ` of ${feature.of}` : ''
  const where = feature.where === undefined ? '' : ` where ${feature.where}`
  if (feature.function !== 'fraud_share' || feature.smoothing === undefined) return `${feature.function}${of}${where}`
  const { prior, weight } = feature.smoothing
  return `fraud_share, prior ${prior} as ${weight} events${where}`
}
