import type { DatasetSchema } from '../datasets/dataset.ts'
import { DAY, FRAUD_LABEL, HOUR, type DurationMs, type EventBatch } from '../datasets/transaction.ts'
import { categoryCode } from './category.ts'
import { featureNames, type FeatureService, type RequestFeature } from './view.ts'
import { ViewFold } from './view-fold.ts'

/** Features of the transactions of one batch, row-major `rows × names.length`, in log order. Reused by the next call. */
export interface FeatureMatrix {
  rows: number
  values: Float64Array
  /** 1 where the transaction came later than the allowed lateness. */
  late: Uint8Array
}

/** Keys of a view that a batch brings for the first time. */
export interface FreshKeys {
  view: ViewFold
  keys: (number | string)[]
}

/**
 * All features of a service over one stream of events: request features from the row, aggregates from their views' folds.
 * Not reentrant: one batch at a time.
 */
export class ServiceFold {
  readonly service: FeatureService
  readonly names: string[]
  readonly views: ViewFold[]
  readonly #entities: number[]
  readonly #schema: DatasetSchema
  readonly #scale: number
  readonly #slots: Uint32Array[] = []
  #prepared: EventBatch | undefined
  readonly #matrix: FeatureMatrix = { rows: 0, values: new Float64Array(0), late: new Uint8Array(0) }

  constructor(service: FeatureService, schema: DatasetSchema, settings: { lateness?: DurationMs; maxEvents?: number } = {}) {
    this.service = service
    this.names = featureNames(service)
    this.#schema = schema
    this.#scale = 10 ** schema.amount.minorUnits
    const aggregates = service.views.filter((view) => view.kind === 'aggregate')
    this.views = aggregates.map((view) => new ViewFold(view, { ...settings, scale: this.#scale }))
    this.#entities = aggregates.map((view) => schema.entities.findIndex((entity) => entity.name === view.entity))
  }

  /** Finds the keys of a batch and returns those seen for the first time: their stored state, if any, is restored before `fold`. */
  prepare(batch: EventBatch): FreshKeys[] {
    this.#prepared = batch
    return this.views.flatMap((view, v) => {
      if (this.#slots[v] === undefined || this.#slots[v].length < batch.size) this.#slots[v] = new Uint32Array(batch.size)
      const keys = view.resolve(batch, this.#entities[v], this.#slots[v])
      return keys.length > 0 ? [{ view, keys }] : []
    })
  }

  /** Folds a batch; one that was not prepared starts its new keys empty. */
  fold(batch: EventBatch): FeatureMatrix {
    if (this.#prepared !== batch) this.prepare(batch)
    this.#prepared = undefined
    const matrix = this.#room(batch.size)
    const width = this.names.length
    let column = 0
    let nextView = 0
    for (const view of this.service.views) {
      if (view.kind === 'request') {
        view.features.forEach((feature, f) => this.#request(feature, batch, matrix.values, width, column + f))
      } else {
        this.views[nextView].fold(batch, this.#slots[nextView], matrix.values, width, column, matrix.late)
        nextView++
      }
      column += view.features.length
    }
    matrix.rows = transactionsOf(batch)
    return matrix
  }

  /** Keys changed since a checkpoint took them. */
  get changedKeys(): number {
    return this.views.reduce((sum, view) => sum + view.changedKeys, 0)
  }

  #room(size: number): FeatureMatrix {
    if (this.#matrix.late.length < size) {
      this.#matrix.values = new Float64Array(size * this.names.length)
      this.#matrix.late = new Uint8Array(size)
    }
    this.#matrix.late.fill(0)
    return this.#matrix
  }

  #request(feature: RequestFeature, batch: EventBatch, out: Float64Array, width: number, column: number): void {
    const value = requestValue(feature, batch, this.#schema, this.#scale)
    let at = column
    for (let row = 0; row < batch.size; row++) {
      if (batch.kind[row] === FRAUD_LABEL) continue
      out[at] = value(row)
      at += width
    }
  }
}

/** 1970-01-01 was a Thursday: two days before the first Saturday. */
const FIRST_SATURDAY = 2 * DAY
const LAST_NIGHT_HOUR = 6

function requestValue(feature: RequestFeature, batch: EventBatch, schema: DatasetSchema, scale: number): (row: number) => number {
  const { time, amount } = batch
  switch (feature.from) {
    case 'amount':
      return (row) => amount[row] / scale
    case 'weekend':
      return (row) => (modulo(time[row] - FIRST_SATURDAY, 7 * DAY) < 2 * DAY ? 1 : 0)
    case 'night':
      return (row) => (modulo(time[row], DAY) < (LAST_NIGHT_HOUR + 1) * HOUR ? 1 : 0)
    case 'numeric': {
      const values = batch.numeric[schema.numeric.indexOf(feature.column)]
      // A text format may write −0 as 0; adding 0 makes them one number here, for both drivers.
      return (row) => values[row] + 0
    }
    case 'categorical': {
      const values = batch.categorical[schema.categorical.indexOf(feature.column)]
      return (row) => categoryCode(values[row])
    }
  }
}

/** Remainder that is never negative: times before 1970 have weekdays too. */
function modulo(value: number, length: number): number {
  const remainder = value % length
  return remainder < 0 ? remainder + length : remainder
}

function transactionsOf(batch: EventBatch): number {
  let labels = 0
  for (let row = 0; row < batch.size; row++) labels += batch.kind[row]
  return batch.size - labels
}
