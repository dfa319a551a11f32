import { decimalsOf, type DatasetSchema } from '../../datasets/table/dataset.ts'
import type { DurationMs, EventBatch, KeyColumn } from '../../datasets/table/transaction.ts'
import { maskOf, type Mask } from '../expression/mask.ts'
import type { AggregateView, FeatureService, FeatureView } from '../view/view.ts'
import { needsOf } from '../window/window-plan.ts'

/** Where a batch has the columns that features read. */
export interface DatasetColumns {
  /** By name: the index in `batch.numeric`, and 10^decimals, 0 where none are declared. */
  numbers: ReadonlyMap<string, { index: number; scale: number }>
  /** By name: takes the column of an entity, or a categorical one, out of a batch. */
  values: ReadonlyMap<string, (batch: EventBatch) => KeyColumn>
}

/** An entity goes before a categorical column of its name. */
export function columnsOf(schema: DatasetSchema): DatasetColumns {
  const { numeric, categorical, entities } = schema
  const scaleOf = (column: string): number => {
    const decimals = decimalsOf(schema, column)
    return decimals === undefined ? 0 : 10 ** decimals
  }
  return {
    numbers: new Map(numeric.map((column, index) => [column, { index, scale: scaleOf(column) }])),
    values: new Map<string, (batch: EventBatch) => KeyColumn>([
      ...categorical.map((name, c) => [name, (batch: EventBatch) => batch.categorical[c]] as const),
      ...entities.map(({ name }, e) => [name, (batch: EventBatch) => batch.entities[e]] as const),
    ]),
  }
}

/** How a view is folded. */
export interface FoldSettings {
  /** Minor units in one major unit: 100 for cents. */
  scale: number
  /** How far an event may lie behind the newest event of its key and still be folded exactly. Default one hour. */
  lateness?: DurationMs
  /** The dataset's own columns, which functions of numbers and of values read. Default: none. */
  columns?: DatasetColumns
  /** Makes a condition of a feature (`where`) a mask. Needed where there is one. */
  maskOf?: (where: string) => Mask
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
  const settings = {
    scale: 10 ** schema.amount.minorUnits,
    refunds: schema.refunds === true,
    columns: columnsOf(schema),
    maskOf: (where: string) => maskOf(where, schema, `View "${view.name}" of service "${service.name}"`),
  }
  if (!keepsIds(view, service)) return settings
  const needs = service.views.flatMap((each) =>
    each.kind === 'aggregate' && each.entity === view.entity ? [needsOf(each.features)] : [],
  )
  const kept = Math.max(...needs.map(({ span }) => span))
  return { ...settings, ids: true, kept, keptLast: Math.max(...needs.map(({ mostLast }) => mostLast)) }
}
