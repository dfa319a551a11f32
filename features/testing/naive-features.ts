import { isNoKey } from '../../datasets/table/key.ts'
import { AMOUNT, windowOf, type AggregateFeature, type Smoothing, type Window } from '../view/aggregation.ts'
import type { AggregateView } from '../view/view.ts'

/** An event as the naive loop sees it. Columns that features read are further fields, under the columns' names. */
export interface NaiveEvent {
  id: number
  time: number
  /** In minor units, hundredths; below 0 for a refund. */
  amount: number
  /** Whether this is a fraud label for the transaction of this id, instead of a transaction. */
  label: boolean
}

/** What else the naive loop is told. */
export interface NaiveRules<E> {
  /** Decimals of the numeric columns that are summed. */
  decimals?: Readonly<Record<string, number>>
  /** Whether the condition of a feature is true of an event. Default: none is. */
  holds?: (where: string, event: E) => boolean
}

/**
 * What features mean, for tests: the obvious quadratic loop. For each transaction it looks at every event of its key
 * that stands earlier in `order`. A label counts from where it stands, also one that stands before its transaction, but
 * never for that transaction itself. Returns the values of each transaction by its id, in `order`; NaN where it has no
 * key.
 */
export function naiveFeatures<E extends NaiveEvent>(
  view: AggregateView,
  order: readonly E[],
  keyOf: (event: E) => number | string | undefined,
  { decimals = {}, holds = () => false }: NaiveRules<E> = {},
): Map<number, number[]> {
  const known = new Set<number>()
  const rows = new Map<number, number[]>()
  order.forEach((event, place) => {
    if (event.label) return void known.add(event.id)
    if (keyOf(event) === undefined)
      return void rows.set(
        event.id,
        view.features.map(() => Number.NaN),
      )
    const earlier = order.slice(0, place).filter((other) => !other.label && keyOf(other) === keyOf(event))
    const visible = view.includesCurrent ? [...earlier, event] : earlier
    rows.set(
      event.id,
      view.features.map((feature) => {
        const refunds = feature.function.startsWith('refund_')
        const ofKind = (events: E[]): E[] =>
          events.filter(
            (other) => other.amount < 0 === refunds && (feature.where === undefined || holds(feature.where, other)),
          )
        return naiveValue(feature, event, ofKind(earlier), ofKind(visible), known, decimals)
      }),
    )
  })
  return rows
}

/** The events that are not later than t, in order of time, and among those of one time in order of the log. */
function upTo<E extends NaiveEvent>(events: readonly E[], t: number): E[] {
  return events.filter((other) => other.time <= t).sort((a, b) => a.time - b.time)
}

function inWindow<E extends NaiveEvent>(events: readonly E[], t: number, window: Window): E[] {
  if ('last' in window) return upTo(events, t).slice(-window.last)
  const end = t - (window.delay ?? 0)
  let start = 'length' in window ? end - window.length : -Infinity
  if ('length' in window && window.hop !== undefined) start = Math.floor(start / window.hop) * window.hop
  return upTo(events, end).filter((other) => other.time > start)
}

function naiveValue<E extends NaiveEvent>(
  feature: AggregateFeature,
  event: E,
  earlier: E[],
  visible: E[],
  known: Set<number>,
  decimals: Readonly<Record<string, number>>,
): number {
  const before = upTo(earlier, event.time)
  const window = windowOf(feature)
  const seen = window === undefined ? [] : inWindow(visible, event.time, window)
  const sum = seen.reduce((total, other) => total + other.amount, 0)
  const frauds = seen.filter((other) => other !== event && known.has(other.id)).length
  switch (feature.function) {
    case 'seconds_since_previous':
      return before.length === 0 ? -1 : (event.time - before[before.length - 1].time) / 1000
    case 'seconds_since_first':
      return before.length === 0 ? -1 : (event.time - before[0].time) / 1000
    case 'count':
    case 'refund_count':
      return seen.length
    case 'sum_amount':
      return sum / 100
    case 'refund_sum':
      return (0 - sum) / 100
    case 'mean_amount':
      return seen.length === 0 ? 0 : sum / seen.length / 100
    case 'fraud_count':
      return frauds
    case 'fraud_share':
      return naiveShare(frauds, seen.length, feature.smoothing)
    case 'distinct':
    case 'is_new':
    case 'share_same':
      return naiveOfValues(feature, event, seen)
    default:
      return naiveOfNumbers(feature, seen, decimals)
  }
}

function naiveShare(frauds: number, events: number, smoothing?: Smoothing): number {
  if (smoothing === undefined) return events === 0 ? 0 : frauds / events
  const { prior, weight } = smoothing
  return events === 0 ? prior : (frauds + prior * weight) / (events + weight)
}

function naiveOfValues<E extends NaiveEvent>(feature: AggregateFeature & { of: string }, event: E, seen: E[]): number {
  const valueOf = (other: E): number | string => other[feature.of as keyof E] as number | string
  const own = valueOf(event)
  const values = seen.map(valueOf)
  if (feature.function === 'distinct') return new Set(values.filter((value) => !isNoKey(value))).size
  if (isNoKey(own)) return Number.NaN
  const same = seen.filter((other) => valueOf(other) === own)
  if (feature.function === 'is_new') return same.some((other) => other !== event) ? 0 : 1
  return same.length / seen.length
}

function naiveOfNumbers<E extends NaiveEvent>(
  feature: AggregateFeature & { of: string },
  seen: E[],
  decimals: Readonly<Record<string, number>>,
): number {
  const { of } = feature
  const scale = of === AMOUNT ? 100 : 10 ** (decimals[of] ?? 0)
  const major = (event: E): number => (of === AMOUNT ? event.amount / 100 : (event[of as keyof E] as number) + 0)
  const values = seen.map(major).filter((value) => !Number.isNaN(value))
  if (values.length === 0) return feature.function === 'sum' ? 0 : Number.NaN
  const minor = values.map((value) => BigInt(Math.round(value * scale)))
  const n = BigInt(values.length)
  const sum = minor.reduce((total, value) => total + value, 0n)
  const squares = minor.reduce((total, value) => total + value * value, 0n)
  switch (feature.function) {
    case 'sum':
      return Number(sum) / scale
    case 'mean':
      return Number(sum) / values.length / scale
    case 'std':
      return n === 1n ? Number.NaN : Math.sqrt(Number(n * squares - sum * sum) / Number(n * (n - 1n))) / scale
    case 'min':
      return Math.min(...values)
    case 'max':
      return Math.max(...values)
    case 'last':
      return values[values.length - 1]
    default:
      return values[0]
  }
}
