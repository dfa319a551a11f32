import type { AggregateFeature, AggregateView, Smoothing } from '../view/view.ts'

/** An event as the naive loop sees it. */
export interface NaiveEvent {
  id: number
  time: number
  /** In minor units, hundredths; below 0 for a refund. */
  amount: number
  /** Whether this is a fraud label for the transaction of this id, instead of a transaction. */
  label: boolean
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
        const ofKind = (events: E[]): E[] => events.filter(({ amount }) => amount < 0 === refunds)
        return naiveValue(feature, event, ofKind(earlier), ofKind(visible), known)
      }),
    )
  })
  return rows
}

function naiveValue(
  feature: AggregateFeature,
  event: NaiveEvent,
  earlier: NaiveEvent[],
  visible: NaiveEvent[],
  known: Set<number>,
): number {
  const upTo = (events: NaiveEvent[]): NaiveEvent[] =>
    events.filter((other) => other.time <= event.time).sort((a, b) => a.time - b.time)
  if (feature.function === 'seconds_since_previous') {
    const previous = upTo(earlier).at(-1)
    return previous ? (event.time - previous.time) / 1000 : -1
  }
  const { window } = feature
  const seen =
    'last' in window
      ? upTo(visible).slice(-window.last)
      : visible.filter(
          (other) =>
            other.time > event.time - (window.delay ?? 0) - window.length &&
            other.time <= event.time - (window.delay ?? 0),
        )
  const sum = seen.reduce((total, other) => total + other.amount, 0)
  switch (feature.function) {
    case 'count':
      return seen.length
    case 'refund_count':
      return seen.length
    case 'sum_amount':
      return sum / 100
    case 'refund_sum':
      return (0 - sum) / 100
    case 'mean_amount':
      return seen.length === 0 ? 0 : sum / seen.length / 100
    case 'fraud_share':
      return naiveShare(
        seen.filter((other) => other !== event && known.has(other.id)).length,
        seen.length,
        feature.smoothing,
      )
  }
}

function naiveShare(frauds: number, events: number, smoothing?: Smoothing): number {
  if (smoothing === undefined) return events === 0 ? 0 : frauds / events
  const { prior, weight } = smoothing
  return events === 0 ? prior : (frauds + prior * weight) / (events + weight)
}
