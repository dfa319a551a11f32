import type { DurationMs } from '../../datasets/table/transaction.ts'

/**
 * Which of an entity's events an aggregation reads, seen from a transaction at event time t.
 *
 * - By time: events in (t − length − delay, t − delay], start open, end closed. With `hop`, the start is moved back to
 *   a multiple of it (of the epoch, UTC): the window begins with a whole day, say.
 * - By count: the last `last` events up to t.
 * - Ever: all events up to t − delay, however old. One that comes when all of its time have left the other windows, and
 *   the allowed lateness is over, is not counted nor summed: nothing would tell whether it came before.
 *
 * Only events that stand earlier in the log count, and the transaction itself where the view includes it. Events are
 * payments. For the functions of refunds they are refunds: no window has both. With a condition (`where`), they are
 * those of which it is true.
 */
export type Window =
  | { length: DurationMs; delay?: DurationMs; hop?: DurationMs }
  | { last: number }
  | { ever: true; delay?: DurationMs }

/**
 * Pulls the share of a key with few events towards a prior, so that one fraud in one event does not make a share of 1.
 * A category with many values (a merchant) becomes a number that way, without a column for each value: its share of
 * frauds among earlier events. The delay of the window leaves out events whose labels are not known yet.
 */
export interface Smoothing {
  /** The share of a key without events, in [0, 1]: that of all transactions, say. */
  prior: number
  /** How many events the prior counts for, above 0. */
  weight: number
}

/** What the functions of numbers call the transaction's amount. Any other name is a numeric column's. */
export const AMOUNT = 'amount'

/**
 * Functions of numbers: of `amount`, in major units, or of a numeric column. A missing value is none. Over no value a
 * sum is 0, all others are missing (NaN). The standard deviation is that of a sample (n − 1), missing for fewer than
 * two values. `last` and `first` are the values of the newest and of the oldest event of the window that has one.
 */
export type NumericFunction = 'sum' | 'mean' | 'std' | 'min' | 'max' | 'last' | 'first'

/**
 * Functions of a categorical column, or of an entity by its name:
 *
 * - `distinct`: how many values the window's events have. A missing value is none.
 * - `is_new`: 1 where no earlier event of the window has the transaction's own value, else 0.
 * - `share_same`: the share of the window's events that have the transaction's own value.
 *
 * The latter two are missing (NaN) where the transaction's own value is; `share_same` is, too, over an empty window.
 */
export type ValueFunction = 'distinct' | 'is_new' | 'share_same'

/** What is computed over a window or, for `seconds_since_…`, between two events. */
export type Aggregation =
  /** Number of events. */
  | { function: 'count'; window: Window }
  /** Mean amount in major units: (sum of minor units / count) / 10^minorUnits; 0 over an empty window. */
  | { function: 'mean_amount'; window: Window }
  /** Sum of amounts in major units. */
  | { function: 'sum_amount'; window: Window }
  | { function: NumericFunction; of: string; window: Window }
  | { function: ValueFunction; of: string; window: Window }
  /** Events known to be fraud. A label counts from when its row stands in the log. */
  | { function: 'fraud_count'; window: Window }
  /**
   * Events known to be fraud / events; 0 over an empty window. With `smoothing`, (frauds + prior · weight) / (events +
   * weight), which is the prior over an empty window.
   */
  | { function: 'fraud_share'; window: Window; smoothing?: Smoothing }
  /** Number of refunds: transactions with an amount below 0, which no other function sees. */
  | { function: 'refund_count'; window: Window }
  /** Sum of what was paid back, in major units: 0 or more. */
  | { function: 'refund_sum'; window: Window }
  /** Seconds since the entity's previous payment, −1 when there is none. */
  | { function: 'seconds_since_previous' }
  /** Seconds since the entity's first payment, however long ago; −1 when there is none. */
  | { function: 'seconds_since_first' }

/**
 * A feature over the events of an entity.
 *
 * `where` is a condition on an event's own columns, an expression in CEL. The events of which it is true are a kind of
 * their own: windows by count, the previous and the last event are all among these.
 */
export type AggregateFeature = { name: string } & Aggregation & { where?: string }

/** Whether a feature is about refunds. All others are about payments. */
export function isOfRefunds(feature: AggregateFeature): boolean {
  return feature.function === 'refund_count' || feature.function === 'refund_sum'
}

/** Whether a feature reads fraud labels. */
export function readsLabels(feature: AggregateFeature): boolean {
  return feature.function === 'fraud_share' || feature.function === 'fraud_count'
}

/** The window of a feature, undefined where its function has none. */
export function windowOf(feature: AggregateFeature): Window | undefined {
  return 'window' in feature ? feature.window : undefined
}

/** How far back before a transaction a window by time begins at most, delay and hop included; for ever: its delay. */
export function reachOf(window: Window): DurationMs {
  if ('last' in window) return 0
  const length = 'length' in window ? window.length + (window.hop ?? 0) : 0
  return length + (window.delay ?? 0)
}

/** What would need every event, or every value, for as long as there are any. */
const BOUNDED = new Set(['fraud_count', 'fraud_share', 'distinct', 'is_new', 'share_same'])

/** Why a function cannot have the window of a feature, undefined where it can. */
export function windowFault(feature: AggregateFeature): string | undefined {
  const window = windowOf(feature) ?? {}
  if ('ever' in window && BOUNDED.has(feature.function)) {
    const why = readsLabels(feature) ? 'a label could not find its event' : 'it would keep every value'
    return `"${feature.function}" cannot be over ever, since ${why}: give a length of time`
  }
  return 'hop' in window && readsLabels(feature) ? `"${feature.function}" cannot have a hop: leave it out` : undefined
}
