import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import type { DurationMs } from '../../datasets/table/transaction.ts'
import { refundView } from '../view/refund-view.ts'
import type { AggregateView, FeatureService, FeatureView } from '../view/view.ts'
import { planView } from './window-plan.ts'

/** How a view is folded. */
export interface FoldSettings {
  /** Minor units in one major unit: 100 for cents. */
  scale: number
  /** How far an event may lie behind the newest event of its key and still be folded exactly. Default one hour. */
  lateness?: DurationMs
  /** Whether there are refunds. Then a fold of their own goes with that of the payments. Default: not. */
  refunds?: boolean
  /** Whether rings keep the ids of transactions, so that one that comes twice is found. Default: not. */
  ids?: boolean
  /** How far back rings reach at least, lateness not counted. By default as far as the view's windows by time. */
  kept?: DurationMs
  /**
   * How many of the youngest events from before that rings keep at least. By default as many as the view's windows by
   * count need.
   */
  keptLast?: number
}

/**
 * Whether a view's rings keep the ids of transactions: the first view of each entity does. A stage of a chain folds one
 * entity, all events of one of its keys come to it in one order, and so a transaction that comes twice comes to the
 * same ring.
 */
export function keepsIds(view: FeatureView, service: FeatureService): boolean {
  if (view.kind !== 'aggregate') return false
  return view === service.views.find((each) => each.kind === 'aggregate' && each.entity === view.entity)
}

/**
 * How a view of a service is folded. Where its rings keep ids (`keepsIds`), they reach as far back, by time and by
 * count, as any view of the entity, so that what is in no ring is in no window either.
 */
export function viewSettings(view: AggregateView, service: FeatureService, schema: DatasetSchema): FoldSettings {
  const settings = { scale: 10 ** schema.amount.minorUnits, refunds: schema.refunds === true }
  if (!keepsIds(view, service)) return settings
  const plans = service.views.flatMap((each) =>
    each.kind === 'aggregate' && each.entity === view.entity ? [planView(each), planView(refundView(each).view)] : [],
  )
  const kept = Math.max(...plans.map(({ span }) => span))
  return { ...settings, ids: true, kept, keptLast: Math.max(...plans.map(({ mostLast }) => mostLast)) }
}
