import { windowOf, type AggregateFeature, type NumericFunction, type ValueFunction } from '../view/aggregation.ts'

/** What an aggregator does with the values of its column. */
export type AggregatorKind = 'moments' | 'squares' | 'min' | 'max' | 'last' | 'first' | 'values'

/** One aggregator: the values of one column, over some of the view's windows. */
export interface AggregatorPlan {
  kind: AggregatorKind
  of: string
  /** Indices of the windows, rising. */
  windows: number[]
}

const KINDS: Record<NumericFunction | ValueFunction, AggregatorKind> = {
  sum: 'moments',
  mean: 'moments',
  std: 'squares',
  min: 'min',
  max: 'max',
  last: 'last',
  first: 'first',
  distinct: 'values',
  is_new: 'values',
  share_same: 'values',
}

/**
 * The aggregators that features need: one for each column and kind, which features of several functions share.
 *
 * @param windows by feature: the index of its window.
 * @returns also by feature the index of its aggregator, 0 for a feature without one.
 */
export function aggregatorsOf(
  features: readonly AggregateFeature[],
  windows: Uint16Array,
): { aggregators: AggregatorPlan[]; aggregatorOf: Uint16Array } {
  const aggregators: AggregatorPlan[] = []
  const aggregatorOf = Uint16Array.from(features, (feature, f) => {
    if (!('of' in feature) || windowOf(feature) === undefined) return 0
    const { of } = feature
    const kind = KINDS[feature.function]
    let at = aggregators.findIndex((each) => each.kind === kind && each.of === of)
    if (at < 0) at = aggregators.push({ kind, of, windows: [] }) - 1
    const served = aggregators[at].windows
    if (!served.includes(windows[f])) served.push(windows[f])
    return at
  })
  for (const { windows: served } of aggregators) served.sort((a, b) => a - b)
  return { aggregators, aggregatorOf }
}
