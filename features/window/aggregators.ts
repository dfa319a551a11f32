import { UserError } from '../../configs/user-error.ts'
import { AMOUNT } from '../view/aggregation.ts'
import type { AggregatorPlan } from './aggregator-plan.ts'
import type { Aggregator } from './aggregator.ts'
import { Extremes } from './extremes.ts'
import { Moments } from './moments.ts'
import type { RowColumns } from './ring-columns.ts'
import type { EventRings } from './ring.ts'
import { Values } from './values.ts'
import type { WindowPlan } from './window-plan.ts'

/** One window of an aggregator: its index there. */
export interface Attached {
  aggregator: Aggregator
  k: number
}

/** The aggregators of a plan. */
export interface Aggregators {
  all: Aggregator[]
  /** By window of the plan. */
  byWindow: Attached[][]
  /** Of the features that have one, in their order. */
  byFeature: (Attached & { feature: number })[]
}

/**
 * Makes the aggregators of a plan.
 *
 * @param row the transaction at hand, with the scales of its numeric columns.
 * @param scale minor units in one major unit of amounts.
 * @throws UserError for a sum over a column that declares no decimals.
 */
export function makeAggregators(plan: WindowPlan, rings: EventRings, row: RowColumns, scale: number): Aggregators {
  const all = plan.aggregators.map((each) => makeAggregator(each, plan, rings, row, scale))
  const attached = (a: number, window: number): Attached => ({
    aggregator: all[a],
    k: plan.aggregators[a].windows.indexOf(window),
  })
  return {
    all,
    byWindow: Array.from(plan.delays, (_, w) =>
      all.flatMap((_each, a) => (plan.aggregators[a].windows.includes(w) ? [attached(a, w)] : [])),
    ),
    byFeature: [...plan.aggregated].flatMap((aggregated, feature) =>
      aggregated === 1 ? [{ feature, ...attached(plan.aggregatorOf[feature], plan.windowOf[feature]) }] : [],
    ),
  }
}

function makeAggregator(
  { kind, of, windows }: AggregatorPlan,
  { columns, ever }: WindowPlan,
  rings: EventRings,
  row: RowColumns,
  scale: number,
): Aggregator {
  if (kind === 'values') return new Values(rings, row, columns.values?.indexOf(of) ?? -1, windows)
  const n = columns.numbers?.indexOf(of) ?? -1
  const column = of === AMOUNT ? amounts : (from: EventRings): Float64Array => from.numbers[n]
  const declared = of === AMOUNT ? scale : row.scales[n]
  const forEver = windows.map((w) => ever[w] === 1)
  if (kind !== 'moments' && kind !== 'squares')
    return new Extremes(rings, column, declared || 1, windows, forEver, kind)
  if (declared > 0) return new Moments(rings, column, declared, windows, forEver, kind === 'squares')
  throw new UserError(`Column "${of}" declares no decimals, so its sums would depend on how they were rounded.`)
}

const amounts = ({ amount }: EventRings): Float64Array => amount
