import { UserError } from '../../configs/user-error.ts'
import { decimalsOf, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { EventScope } from '../expression/event-scope.ts'
import { compile } from '../expression/expression.ts'
import { FeatureScope, type ScopeFeature } from '../expression/feature-scope.ts'
import { AMOUNT, isOfRefunds, type AggregateFeature, type Aggregation } from './aggregation.ts'
import type { FeatureService, FeatureView, RequestFeature } from './view.ts'

/**
 * Checks that a dataset has what a service reads.
 *
 * @throws UserError that names the missing entity or column, or shows where an expression is wrong.
 */
export function checkService(service: FeatureService, schema: DatasetSchema, dataset: string): void {
  const missing = new Set(service.views.flatMap((view) => missingFrom(view, schema)))
  if (missing.size === 0) {
    checkExpressions(service, schema, dataset)
    return
  }
  const shown = [...missing].slice(0, 5).join(', ')
  throw new UserError(
    `Feature service "${service.name}" does not fit dataset "${dataset}": it has no ${shown}. ` +
      `See: fd features describe ${service.name}`,
  )
}

/** Features of the transaction that look at the clock. */
const CLOCK = new Set<RequestFeature['from']>(['weekend', 'night'])

/** What a view reads and the dataset lacks, in words. */
function missingFrom(view: FeatureView, schema: DatasetSchema): string[] {
  const { time, entities, numeric, categorical, refunds } = schema
  if (view.kind === 'derived') return []
  if (time === 'none' && (view.kind === 'aggregate' || view.features.some(({ from }) => CLOCK.has(from)))) {
    return ['times (it says `time: none`), which windows and hours need']
  }
  if (view.kind === 'aggregate') {
    const lacksRefunds = refunds !== true && view.features.some(isOfRefunds)
    return [
      ...view.features.flatMap((feature) => columnMissing(feature, schema)),
      ...(entities.some((entity) => entity.name === view.entity) ? [] : [`entity "${view.entity}"`]),
      ...(lacksRefunds ? ['refunds (its schema does not say `refunds: true`)'] : []),
    ]
  }
  return view.features.flatMap((feature) => {
    if (feature.from !== 'numeric' && feature.from !== 'categorical') return []
    const known = feature.from === 'numeric' ? numeric : categorical
    return known.includes(feature.column) ? [] : [`${feature.from} column "${feature.column}"`]
  })
}

const SUMS = new Set<Aggregation['function']>(['sum', 'mean', 'std'])
const VALUES = new Set<Aggregation['function']>(['distinct', 'is_new', 'share_same'])

/** The column of a function that the dataset lacks, in words. */
function columnMissing(feature: AggregateFeature, schema: DatasetSchema): string[] {
  if (!('of' in feature)) return []
  const { of } = feature
  const { numeric, categorical, entities } = schema
  if (VALUES.has(feature.function)) {
    const known = categorical.includes(of) || entities.some(({ name }) => name === of)
    return known ? [] : [`categorical column or entity "${of}", which ${feature.function} reads`]
  }
  if (of === AMOUNT) return []
  if (!numeric.includes(of)) return [`numeric column "${of}", which ${feature.function} reads`]
  if (!SUMS.has(feature.function) || decimalsOf(schema, of) !== undefined) return []
  const line = `numeric: [{ column: ${of}, decimals: 2 }]`
  return [`decimals of "${of}", without which ${feature.function} would depend on rounding: say them, \`${line}\``]
}

/** All features of a service as a derived one may name them. */
export function scopeFeatures({ views }: FeatureService): ScopeFeature[] {
  return views.flatMap((view) =>
    view.features.map((feature) => ({
      name: feature.name,
      isCategory: 'from' in feature && feature.from === 'categorical',
    })),
  )
}

/**
 * Compiles every expression and condition of a service against the columns of a dataset.
 *
 * @throws UserError with a caret under what is wrong in the first that does not fit.
 */
function checkExpressions(service: FeatureService, schema: DatasetSchema, dataset: string): void {
  const events = new EventScope(schema)
  const features = scopeFeatures(service)
  let column = 0
  for (const view of service.views) {
    for (const feature of view.features) {
      const where = `Feature "${feature.name}" of service "${service.name}" on "${dataset}"`
      if ('expression' in feature) {
        compile(feature.expression, view.kind === 'derived' ? new FeatureScope(features, column) : events, where)
      }
      if ('where' in feature && feature.where !== undefined) compile(feature.where, events, where, 'condition')
      column++
    }
  }
}
