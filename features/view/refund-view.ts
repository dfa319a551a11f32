import { isOfRefunds, type AggregateFeature } from './aggregation.ts'
import type { AggregateView } from './view.ts'

/** A view's features of refunds as a view of their own. */
export interface RefundView {
  /** Counts and sums whose events are refunds, with what was paid back as their amounts. */
  view: AggregateView
  /** By feature: its place among all features of the whole view. */
  places: number[]
}

export function refundView(whole: AggregateView): RefundView {
  const places = whole.features.flatMap((feature, f) => (isOfRefunds(feature) ? [f] : []))
  return { view: { ...whole, features: places.map((f) => overRefunds(whole.features[f])) }, places }
}

function overRefunds(feature: AggregateFeature): AggregateFeature {
  if (feature.function === 'refund_count') return { ...feature, function: 'count' }
  if (feature.function === 'refund_sum') return { ...feature, function: 'sum_amount' }
  return feature
}
