import { UserError } from '../../configs/user-error.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import {
  isOfRefunds,
  windowOf,
  type AggregateFeature,
  type Aggregation,
  type Smoothing,
  type Window,
} from '../view/aggregation.ts'
import type { AggregateView } from '../view/view.ts'
import type { RingColumns } from './ring.ts'

/** The aggregate functions as small integers, so that the hot loop switches on a number. */
export const COUNT = 0
export const MEAN_AMOUNT = 1
export const SUM_AMOUNT = 2
export const FRAUD_SHARE = 3
export const SECONDS_SINCE_PREVIOUS = 4
/** A feature of refunds: the fold of refunds computes it. */
export const OF_REFUNDS = 5

const CODES: Partial<Record<Aggregation['function'], number>> = {
  count: COUNT,
  mean_amount: MEAN_AMOUNT,
  sum_amount: SUM_AMOUNT,
  fraud_share: FRAUD_SHARE,
  seconds_since_previous: SECONDS_SINCE_PREVIOUS,
  refund_count: OF_REFUNDS,
  refund_sum: OF_REFUNDS,
}

/**
 * A view as columns: its distinct windows, and for each feature its function and the index of the window it reads. A
 * window by time has `lasts` Infinity. A window by count has `lengths` Infinity and no delay. So one loop serves both.
 */
export interface WindowPlan {
  delays: Float64Array
  lengths: Float64Array
  lasts: Float64Array
  functions: Uint8Array
  windowOf: Uint16Array
  /** By feature: the prior of a share and its weight in events. Both 0 for a share that is not smoothed. */
  priors: Float64Array
  weights: Float64Array
  /** How far back the windows by time reach, delay included; 0 when there are none. */
  span: DurationMs
  /** How many events the longest window by count needs, whatever their age. The time since the previous needs one. */
  mostLast: number
  /** Which columns of an event the functions read. */
  columns: RingColumns
}

/**
 * Brings a view into the form that the fold's loops read. With `withIds` its rings keep the ids of transactions.
 *
 * @throws UserError for a smoothing that is out of bounds.
 */
export function planView(view: AggregateView, withIds = false): WindowPlan {
  const windows: Window[] = []
  const indexOf = (window: Window): number => {
    const known = windows.findIndex((other) => JSON.stringify(other) === JSON.stringify(window))
    return known >= 0 ? known : windows.push(window) - 1
  }
  const indices = Uint16Array.from(view.features, (feature) => {
    const window = windowOf(feature)
    return window === undefined || isOfRefunds(feature) ? 0 : indexOf(window)
  })
  const functions = Uint8Array.from(view.features, codeOf)
  const smoothings = view.features.map(smoothingOf)
  const byTime = windows.filter((window) => 'length' in window)
  return {
    delays: Float64Array.from(windows, (window) => ('length' in window ? (window.delay ?? 0) : 0)),
    lengths: Float64Array.from(windows, (window) => ('length' in window ? window.length : Infinity)),
    lasts: Float64Array.from(windows, (window) => ('last' in window ? window.last : Infinity)),
    functions,
    windowOf: indices,
    // A prior of −0 would be another value than 0, in a definition of the same digest.
    priors: Float64Array.from(smoothings, (smoothing) => Math.abs(smoothing?.prior ?? 0)),
    weights: Float64Array.from(smoothings, (smoothing) => smoothing?.weight ?? 0),
    span: Math.max(0, ...byTime.map((window) => window.length + (window.delay ?? 0))),
    mostLast: Math.max(
      functions.includes(SECONDS_SINCE_PREVIOUS) ? 1 : 0,
      ...windows.map((window) => ('last' in window ? window.last : 0)),
    ),
    columns: {
      amount: functions.includes(MEAN_AMOUNT) || functions.includes(SUM_AMOUNT),
      label: functions.includes(FRAUD_SHARE),
      id: withIds,
    },
  }
}

/** The plan of a view without features, whose rings keep ids. */
export const NO_WINDOWS: WindowPlan = planView(
  { kind: 'aggregate', name: '', entity: '', includesCurrent: true, features: [] },
  true,
)

/** @throws UserError for a function, a window or a condition that no fold computes. */
function codeOf(feature: AggregateFeature): number {
  const code = CODES[feature.function]
  const window = windowOf(feature)
  const plain = window === undefined || 'last' in window || ('length' in window && window.hop === undefined)
  if (code !== undefined && plain && feature.where === undefined) return code
  throw new UserError(`Feature "${feature.name}": "${feature.function}" cannot be computed in this form.`)
}

/** @throws UserError for a prior that is no share, or a weight that is no number above 0. */
function smoothingOf(feature: AggregateFeature): Smoothing | undefined {
  const smoothing = feature.function === 'fraud_share' ? feature.smoothing : undefined
  if (smoothing === undefined) return undefined
  const { prior, weight } = smoothing
  if (!(prior >= 0 && prior <= 1)) {
    throw new UserError(`Feature "${feature.name}": the prior ${prior} is no share. Give a number from 0 to 1.`)
  }
  if (!(weight > 0 && weight < Infinity)) {
    throw new UserError(
      `Feature "${feature.name}": the prior cannot have the weight of ${weight} events. Give a number above 0, ` +
        'or leave the smoothing out.',
    )
  }
  return smoothing
}

/**
 * The value of the plan's feature `f` from its window's totals. This is the only place where sums of minor units are
 * divided: the same totals give the same bits, whichever path led to them.
 */
export function evaluate(
  { functions, priors, weights }: WindowPlan,
  f: number,
  count: number,
  sum: number,
  frauds: number,
  sincePrevious: number,
  scale: number,
): number {
  switch (functions[f]) {
    case COUNT:
      return count
    case MEAN_AMOUNT:
      return count === 0 ? 0 : sum / count / scale
    case SUM_AMOUNT:
      return sum / scale
    case FRAUD_SHARE:
      // Over an empty window the prior itself: prior · weight / weight may round to a neighbour of it.
      return count === 0 ? priors[f] : (frauds + priors[f] * weights[f]) / (count + weights[f])
    case OF_REFUNDS:
      return Number.NaN
    default:
      return sincePrevious
  }
}
