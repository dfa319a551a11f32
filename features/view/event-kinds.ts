import { isOfRefunds, type AggregateFeature } from './aggregation.ts'
import type { AggregateView } from './view.ts'

/**
 * One kind of a view's events, and the features over it: payments, refunds, or those of which a condition is true. A
 * kind has its own events and windows, so a window of the last five is of the last five of the kind.
 */
export interface EventKind {
  refunds: boolean
  /** The condition; absent where all payments, or all refunds, are of the kind. */
  where?: string
  /** The kind's features as a view of their own. Those of refunds count and sum what was paid back. */
  view: AggregateView
  /** By feature: its place among all features of the whole view. */
  places: number[]
}

/** The kinds of a view: payments and refunds first, be it without features, then one for each condition, in order. */
export function eventKinds(whole: AggregateView): EventKind[] {
  const kinds: EventKind[] = [
    { refunds: false, view: { ...whole, features: [] }, places: [] },
    { refunds: true, view: { ...whole, features: [] }, places: [] },
  ]
  for (const [place, feature] of whole.features.entries()) {
    const refunds = isOfRefunds(feature)
    const { where } = feature
    let kind = kinds.find((each) => each.refunds === refunds && each.where === where)
    if (kind === undefined) {
      kind = { refunds, view: { ...whole, features: [] }, places: [] }
      if (where !== undefined) kind.where = where
      kinds.push(kind)
    }
    kind.view.features.push(withinKind(feature))
    kind.places.push(place)
  }
  return kinds
}

/** A feature as one over all events of its kind. */
function withinKind(whole: AggregateFeature): AggregateFeature {
  const { where: _, ...feature } = whole
  if (feature.function === 'refund_count') return { ...feature, function: 'count' }
  if (feature.function === 'refund_sum') return { ...feature, function: 'sum_amount' }
  return feature
}
