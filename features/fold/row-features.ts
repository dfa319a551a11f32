import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, FRAUD_LABEL, HOUR, type EventBatch } from '../../datasets/table/transaction.ts'
import { EventScope } from '../expression/event-scope.ts'
import { compile, type Expression } from '../expression/expression.ts'
import { FeatureScope } from '../expression/feature-scope.ts'
import { categoryCode } from '../view/category.ts'
import { scopeFeatures } from '../view/service-check.ts'
import type { FeatureService, FeatureView, RequestFeature } from '../view/view.ts'
import type { FeatureMatrix } from './fold-output.ts'

/** 1970-01-01 was a Thursday: two days before the first Saturday. */
const FIRST_SATURDAY = 2 * DAY
const LAST_NIGHT_HOUR = 6

/** The features of transactions alone, which need no history. */
export class RequestFeatures {
  readonly #scope: EventScope
  readonly #features: { column: number; valuesOf: (batch: EventBatch) => (row: number) => number }[] = []

  /**
   * @param views those of the service that are computed.
   * @throws UserError as `compile`, for an expression that does not fit the schema.
   */
  constructor(service: FeatureService, schema: DatasetSchema, views: readonly FeatureView[] = service.views) {
    this.#scope = new EventScope(schema)
    let column = 0
    for (const view of service.views) {
      if (view.kind === 'request' && views.includes(view)) {
        view.features.forEach((feature, f) =>
          this.#features.push({ column: column + f, valuesOf: requestValues(service, feature, schema, this.#scope) }),
        )
      }
      column += view.features.length
    }
  }

  /** The columns that are written. */
  get columns(): number[] {
    return this.#features.map(({ column }) => column)
  }

  /** Writes the columns of a batch's rows that are no labels, in order, `width` features wide. */
  write(batch: EventBatch, out: Float64Array, width: number): void {
    this.#scope.batch = batch
    for (const { column, valuesOf } of this.#features) {
      const value = valuesOf(batch)
      let at = column
      for (let row = 0; row < batch.size; row++) {
        if (batch.kind[row] === FRAUD_LABEL) continue
        out[at] = value(row)
        at += width
      }
    }
  }
}

/** The features that follow from others of their row. */
export class DerivedFeatures {
  readonly #features: { column: number; scope: FeatureScope; expression: Expression }[] = []

  /**
   * @param views those of the service that are computed.
   * @throws UserError as `compile`, for an expression that takes what does not stand before it.
   */
  constructor(service: FeatureService, views: readonly FeatureView[] = service.views) {
    const known = scopeFeatures(service)
    let column = 0
    for (const view of service.views) {
      if (view.kind === 'derived' && views.includes(view)) {
        view.features.forEach(({ name, expression }, f) => {
          const scope = new FeatureScope(known, column + f)
          const compiled = compile(expression, scope, `Feature "${name}" of service "${service.name}"`)
          this.#features.push({ column: column + f, scope, expression: compiled })
        })
      }
      column += view.features.length
    }
  }

  /** The columns that are written. */
  get columns(): number[] {
    return this.#features.map(({ column }) => column)
  }

  /** Writes the columns of all rows from those before them, in the order of the service. */
  write({ values, rows }: Pick<FeatureMatrix, 'values' | 'rows'>, width: number): void {
    for (const { column, scope, expression } of this.#features) {
      scope.values = values
      const computed = expression.values(rows)
      for (let row = 0; row < rows; row++) values[row * width + column] = computed[row]
    }
  }
}

function requestValues(
  service: FeatureService,
  feature: RequestFeature,
  schema: DatasetSchema,
  scope: EventScope,
): (batch: EventBatch) => (row: number) => number {
  if (feature.from !== 'expression') return (batch) => requestValue(feature, batch, schema)
  const { values } = compile(feature.expression, scope, `Feature "${feature.name}" of service "${service.name}"`)
  return ({ size }) => {
    const computed = values(size)
    return (row) => computed[row]
  }
}

function requestValue(
  feature: Exclude<RequestFeature, { from: 'expression' }>,
  batch: EventBatch,
  schema: DatasetSchema,
): (row: number) => number {
  const { time, amount } = batch
  switch (feature.from) {
    case 'amount': {
      const scale = 10 ** schema.amount.minorUnits
      return (row) => amount[row] / scale
    }
    case 'weekend':
      return (row) => (modulo(time[row] - FIRST_SATURDAY, 7 * DAY) < 2 * DAY ? 1 : 0)
    case 'night':
      return (row) => (modulo(time[row], DAY) < (LAST_NIGHT_HOUR + 1) * HOUR ? 1 : 0)
    case 'numeric': {
      const values = batch.numeric[schema.numeric.indexOf(feature.column)]
      // A text format may write −0 as 0. Adding 0 makes them one number, for backfill and scorer alike.
      return (row) => values[row] + 0
    }
    case 'categorical': {
      const values = batch.categorical[schema.categorical.indexOf(feature.column)]
      return (row) => categoryCode(values[row])
    }
  }
}

/** The remainder, never negative: times before 1970 have weekdays too. */
function modulo(value: number, length: number): number {
  const remainder = value % length
  return remainder < 0 ? remainder + length : remainder
}
