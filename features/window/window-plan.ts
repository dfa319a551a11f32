import { UserError } from '../../configs/user-error.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import {
  AMOUNT,
  reachOf,
  windowFault,
  windowOf,
  type AggregateFeature,
  type Aggregation,
  type Smoothing,
  type Window,
} from '../view/aggregation.ts'
import type { AggregateView } from '../view/view.ts'
import { aggregatorsOf, type AggregatorPlan } from './aggregator-plan.ts'
import {
  AGGREGATED,
  COUNT,
  FRAUD_COUNT,
  FRAUD_SHARE,
  MEAN_AMOUNT,
  SECONDS_SINCE_FIRST,
  SECONDS_SINCE_PREVIOUS,
  SUM_AMOUNT,
} from './evaluate.ts'
import type { RingColumns } from './ring-columns.ts'

const CODES: Record<Aggregation['function'], number> = {
  count: COUNT,
  mean_amount: MEAN_AMOUNT,
  sum_amount: SUM_AMOUNT,
  fraud_share: FRAUD_SHARE,
  fraud_count: FRAUD_COUNT,
  seconds_since_previous: SECONDS_SINCE_PREVIOUS,
  seconds_since_first: SECONDS_SINCE_FIRST,
  // Refunds are a kind of their own, over which these are count and sum.
  refund_count: COUNT,
  refund_sum: SUM_AMOUNT,
  sum: AGGREGATED,
  mean: AGGREGATED,
  std: AGGREGATED,
  min: AGGREGATED,
  max: AGGREGATED,
  last: AGGREGATED,
  first: AGGREGATED,
  distinct: AGGREGATED,
  is_new: AGGREGATED,
  share_same: AGGREGATED,
}

/**
 * The features of one kind of events as columns: their distinct windows, and for each feature its function, the index
 * of the window it reads, and its place among the features of the view. A window by time has `lasts` Infinity. A window
 * by count has `lengths` Infinity and no delay. One for ever has both. So one loop serves all.
 */
export interface WindowPlan {
  delays: Float64Array
  lengths: Float64Array
  lasts: Float64Array
  /** 0 where the start of a window moves with every event. */
  hops: Float64Array
  /** Whether any window has a hop. */
  hasHops: boolean
  /** 1 where a window never lets an event go. */
  ever: Uint8Array
  /** Whether any window is for ever. */
  hasEver: boolean
  /** Whether any function reads the windows' sums of amounts, and their frauds. */
  sums: boolean
  frauds: boolean
  /** Whether any function asks for the previous event, and whether any does for the first. */
  previous: boolean
  first: boolean
  functions: Uint8Array
  windowOf: Uint16Array
  places: Uint16Array
  /** By feature: the prior of a share and its weight in events. Both 0 for a share that is not smoothed. */
  priors: Float64Array
  weights: Float64Array
  aggregators: AggregatorPlan[]
  /** By feature that is aggregated: which aggregator has its value. */
  aggregatorOf: Uint16Array
  /** By feature: 1 where an aggregator has its value. */
  aggregated: Uint8Array
  /** By feature: the function that its aggregator is asked for. */
  asked: Aggregation['function'][]
  /** How far back the windows by time reach, delay and hop included; 0 when there are none. */
  span: DurationMs
  /** How many events the longest window by count needs, whatever their age. The time since the previous needs one. */
  mostLast: number
  /** Which columns of an event the functions read. */
  columns: RingColumns
}

export interface PlanOptions {
  /** Whether rings keep the ids of transactions. */
  ids?: boolean
  /** Whether labels look for events, though no feature here reads them. */
  labels?: boolean
  /** By feature: its place among those of the whole view. Default: the view is the whole. */
  places?: readonly number[]
}

/**
 * Brings the features of a kind into the form that the fold's loops read.
 *
 * @throws UserError for a smoothing that is out of bounds, and for what no fold can compute.
 */
export function planView(
  { features }: AggregateView,
  { ids = false, labels = false, places }: PlanOptions = {},
): WindowPlan {
  features.forEach(refuseUnknown)
  const windows: Window[] = []
  const indices = Uint16Array.from(features, (feature) => indexOf(windowOf(feature), windows))
  const functions = Uint8Array.from(features, (feature) => CODES[feature.function])
  const smoothings = features.map(smoothingOf)
  const { aggregators, aggregatorOf } = aggregatorsOf(features, indices)
  const asks = (...codes: number[]): boolean => codes.some((code) => functions.includes(code))
  const { numbers, values } = columnsOf(aggregators)
  return {
    ...boundsOf(windows),
    sums: asks(MEAN_AMOUNT, SUM_AMOUNT),
    frauds: asks(FRAUD_SHARE, FRAUD_COUNT),
    previous: asks(SECONDS_SINCE_PREVIOUS),
    first: asks(SECONDS_SINCE_FIRST),
    functions,
    windowOf: indices,
    places: Uint16Array.from(features, (_, f) => places?.[f] ?? f),
    // A prior of −0 would be another value than 0, in a definition of the same digest.
    priors: Float64Array.from(smoothings, (smoothing) => Math.abs(smoothing?.prior ?? 0)),
    weights: Float64Array.from(smoothings, (smoothing) => smoothing?.weight ?? 0),
    aggregators,
    aggregatorOf,
    aggregated: functions.map((code) => Number(code === AGGREGATED)),
    asked: features.map((feature) => feature.function),
    ...needsOf(features),
    columns: {
      amount: asks(MEAN_AMOUNT, SUM_AMOUNT) || features.some((feature) => 'of' in feature && feature.of === AMOUNT),
      label: labels || asks(FRAUD_SHARE, FRAUD_COUNT),
      id: ids,
      numbers,
      values,
    },
  }
}

function boundsOf(
  windows: readonly Window[],
): Pick<WindowPlan, 'delays' | 'lengths' | 'lasts' | 'hops' | 'hasHops' | 'ever' | 'hasEver'> {
  return {
    delays: Float64Array.from(windows, (window) => ('last' in window ? 0 : (window.delay ?? 0))),
    lengths: Float64Array.from(windows, (window) => ('length' in window ? window.length : Infinity)),
    lasts: Float64Array.from(windows, (window) => ('last' in window ? window.last : Infinity)),
    hops: Float64Array.from(windows, (window) => ('length' in window ? (window.hop ?? 0) : 0)),
    hasHops: windows.some((window) => 'length' in window && window.hop !== undefined),
    ever: Uint8Array.from(windows, (window) => ('ever' in window ? 1 : 0)),
    hasEver: windows.some((window) => 'ever' in window),
  }
}

/** The dataset's own columns that aggregators read. */
function columnsOf(aggregators: readonly AggregatorPlan[]): { numbers: string[]; values: string[] } {
  const numbers = aggregators.filter(({ kind, of }) => kind !== 'values' && of !== AMOUNT)
  const values = aggregators.filter(({ kind }) => kind === 'values')
  return { numbers: distinct(numbers.map(({ of }) => of)), values: distinct(values.map(({ of }) => of)) }
}

/** What a ring must hold for features: how far back, and how many events whatever their age. */
export function needsOf(features: readonly AggregateFeature[]): Pick<WindowPlan, 'span' | 'mostLast'> {
  const windows = features.flatMap((feature) => windowOf(feature) ?? [])
  const previous = features.some((feature) => feature.function === 'seconds_since_previous')
  return {
    span: Math.max(0, ...windows.map(reachOf)),
    mostLast: Math.max(Number(previous), ...windows.map((window) => ('last' in window ? window.last : 0))),
  }
}

/** The plan of a view without features, whose rings keep ids. */
export const NO_WINDOWS: WindowPlan = planView(
  { kind: 'aggregate', name: '', entity: '', includesCurrent: true, features: [] },
  { ids: true },
)

function distinct(names: readonly string[]): string[] {
  return [...new Set(names)]
}

/** The index of a window among those that are there, put in where it is missing. 0 for a feature without one. */
function indexOf(window: Window | undefined, windows: Window[]): number {
  if (window === undefined) return 0
  const known = windows.findIndex((other) => isSame(other, window))
  return known >= 0 ? known : windows.push(window) - 1
}

/** Keys in another order, or a delay of 0, make no other window. */
function isSame(one: Window, other: Window): boolean {
  const parts = (window: Window): (number | undefined)[] => [
    'length' in window ? window.length : undefined,
    'last' in window ? window.last : undefined,
    'last' in window ? 0 : (window.delay ?? 0),
    'length' in window ? (window.hop ?? 0) : 0,
  ]
  const others = parts(other)
  return parts(one).every((part, i) => part === others[i])
}

/**
 * Refuses what no fold can compute. A definition from a file is checked before; this also holds for any other.
 *
 * @throws UserError that names the feature.
 */
function refuseUnknown(feature: AggregateFeature): void {
  const named = `Feature "${feature.name}"`
  if (!Object.hasOwn(CODES, feature.function))
    throw new UserError(`${named}: there is no function "${feature.function}".`)
  const fault = windowFault(feature)
  if (fault !== undefined) throw new UserError(`${named}: ${fault}.`)
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
