import type { DatasetSchema } from '../../datasets/table/dataset.ts'
import { DAY, FRAUD_LABEL, HOUR, type DurationMs, type EventBatch } from '../../datasets/table/transaction.ts'
import {
  featureNames,
  type AggregateView,
  type FeatureService,
  type FeatureView,
  type RequestFeature,
} from '../view/view.ts'
import { categoryCode } from './category.ts'
import type { FoldOutput } from './fold-output.ts'
import type { FoldSettings } from './fold-settings.ts'
import { LABEL_COUNTS, noLabels, type LabelCounts } from './fraud-labels.ts'
import { refundView } from './refund-view.ts'
import { Repeats, type Repeat } from './repeats.ts'
import { ViewFold } from './view-fold.ts'
import { planView } from './window-plan.ts'

/**
 * Features of the transactions of one batch, row-major `rows × names.length`, in log order. Arrays may be longer than
 * that, and the next call reuses them.
 */
export interface FeatureMatrix extends FoldOutput {
  rows: number
}

/** A matrix with room for so many rows of `width` features. */
export function featureMatrix(rows = 0, width = 0): FeatureMatrix {
  return {
    rows,
    values: new Float64Array(rows * width),
    late: new Uint8Array(rows),
    truncated: new Uint32Array(rows),
  }
}

/** Takes all rows but the given ones, which rise, out of a matrix of `width` features, in place. */
export function keepRows(matrix: FeatureMatrix, width: number, rows: readonly number[]): void {
  const { values, late, truncated } = matrix
  for (const [to, from] of rows.entries()) {
    values.copyWithin(to * width, from * width, (from + 1) * width)
    late[to] = late[from]
    truncated[to] = truncated[from]
  }
  matrix.rows = rows.length
}

/** Bits for truncated views that a record between two stages has room for. */
const MOST_BITS = 24

/** The bit of a service's view in `FeatureMatrix.truncated`. Views beyond the 24th share the last one. */
function bitOf(service: FeatureService, view: FeatureView): number {
  return 1 << Math.min(service.views.indexOf(view), MOST_BITS - 1)
}

const NONE: readonly string[] = []

/** Names of the views that lack events, by the bits of a row. */
export function truncatedViews(service: FeatureService, bits: number): readonly string[] {
  if (bits === 0) return NONE
  return service.views.filter((view) => (bits & bitOf(service, view)) !== 0).map(({ name }) => name)
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

/** The keys that a batch brings to a view for the first time. */
export interface FreshKeys {
  view: ViewFold
  keys: (number | string)[]
}

export interface ServiceFoldOptions {
  /** As in `FoldSettings`, and so is `maxEvents`. */
  lateness?: DurationMs
  maxEvents?: number
  /** The views to fold, by default all of the service. A stage of a chain folds only its own. */
  views?: readonly FeatureView[]
  /** A fold of the same views to go on from. The two share their state. */
  from?: ServiceFold
}

/** A view that is folded: first column, bit, its entity's index in `schema.entities`, the slots of a batch's keys. */
interface Folded {
  fold: ViewFold
  column: number
  bit: number
  entity: number
  slots: Uint32Array
}

/**
 * All features of a service over one stream of events in log order. Request features come from the row alone,
 * aggregates from the fold of their view. Not reentrant: one batch at a time.
 */
export class ServiceFold {
  readonly service: FeatureService
  readonly names: string[]
  readonly views: ViewFold[] = []
  readonly #requests: { feature: RequestFeature; column: number }[] = []
  readonly #folded: Folded[] = []
  /** The views that keep ids, in the order in which they are asked, and what asks them. */
  readonly #keepers: readonly Folded[]
  readonly #repeats: Repeats
  readonly #schema: DatasetSchema
  readonly #scale: number
  #prepared: EventBatch | undefined
  #matrix = featureMatrix()

  constructor(
    service: FeatureService,
    schema: DatasetSchema,
    { views = service.views, from, ...settings }: ServiceFoldOptions = {},
  ) {
    this.service = service
    this.names = featureNames(service)
    this.#schema = schema
    this.#scale = 10 ** schema.amount.minorUnits
    let column = 0
    for (const view of service.views) {
      if (!views.includes(view)) {
        column += view.features.length
      } else if (view.kind === 'request') {
        for (const feature of view.features) this.#requests.push({ feature, column: column++ })
      } else {
        const fold =
          from?.views.find((known) => known.view === view) ??
          new ViewFold(view, { ...settings, ...viewSettings(view, service, schema) })
        this.views.push(fold)
        this.#folded.push({
          fold,
          column,
          bit: bitOf(service, view),
          entity: schema.entities.findIndex(({ name }) => name === view.entity),
          slots: new Uint32Array(0),
        })
        column += view.features.length
      }
    }
    this.#keepers = keepersOf(this.#folded, schema)
    this.#repeats = new Repeats(this.#keepers.map(({ fold }) => fold))
  }

  /** Indices of the columns that this fold computes, rising. */
  get columns(): number[] {
    const own = this.#folded.flatMap(({ fold, column }) => fold.view.features.map((_, f) => column + f))
    return [...this.#requests.map(({ column }) => column), ...own].sort((a, b) => a - b)
  }

  /**
   * Finds the keys of a batch and returns those seen for the first time. The caller restores their stored state, if
   * there is any, before it calls `fold`.
   */
  prepare(batch: EventBatch): FreshKeys[] {
    this.#prepared = batch
    return this.#folded.flatMap((folded) => {
      if (folded.slots.length < batch.size) folded.slots = new Uint32Array(batch.size)
      const keys = folded.fold.resolve(batch, folded.entity, folded.slots)
      return keys.length > 0 ? [{ view: folded.fold, keys }] : []
    })
  }

  /**
   * The rows of a prepared batch that are transactions for the second time, as `Repeats.of` finds them. The first view
   * of the log's key is asked first or, without one, another that keeps ids, of an entity that every row has if there
   * is one. None where the service has no such view here: then nothing is known of what was.
   *
   * @param places by row, as in `FoldPlace`.
   */
  repeated(batch: EventBatch, places?: Float64Array): Repeat[] {
    return this.#repeats.of(
      batch,
      this.#keepers.map(({ slots }) => slots),
      places,
    )
  }

  /**
   * Folds a batch. New keys of a batch that was not prepared start empty. Columns of views that are not folded here
   * come from `earlier`, which holds what the stages before found for the same rows; without it they are 0.
   *
   * @param places by row, as in `FoldPlace`.
   */
  fold(batch: EventBatch, earlier?: FeatureMatrix, places?: Float64Array): FeatureMatrix {
    if (this.#prepared !== batch) this.prepare(batch)
    this.#prepared = undefined
    const matrix = this.#room(batch.size)
    const width = this.names.length
    matrix.rows = transactionsOf(batch)
    if (earlier !== undefined) {
      matrix.values.set(earlier.values.subarray(0, matrix.rows * width))
      matrix.late.set(earlier.late.subarray(0, matrix.rows))
      matrix.truncated.set(earlier.truncated.subarray(0, matrix.rows))
    }
    for (const { feature, column } of this.#requests) this.#request(feature, batch, matrix.values, width, column)
    for (const { fold, slots, column, bit } of this.#folded)
      fold.fold(batch, slots, matrix, { column, stride: width, bit, places })
    return matrix
  }

  /** What became of fraud labels that found no transaction when they came, over all views that read labels. */
  get labels(): LabelCounts {
    const sum = noLabels()
    for (const { labels } of this.views) for (const key of LABEL_COUNTS) sum[key] += labels.counts[key]
    return sum
  }

  /** How many keys have changed since the last checkpoint. */
  get changedKeys(): number {
    return this.views.reduce((sum, view) => sum + view.changedKeys, 0)
  }

  #room(size: number): FeatureMatrix {
    if (this.#matrix.late.length < size) this.#matrix = featureMatrix(size, this.names.length)
    this.#matrix.late.fill(0)
    this.#matrix.truncated.fill(0)
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

/** The views that keep ids, the one that is asked first in front. */
function keepersOf(folded: readonly Folded[], schema: DatasetSchema): Folded[] {
  const keepers = folded.filter(({ fold }) => fold.payments.rings.columns.id)
  const always = keepers.filter(({ entity }) => schema.entities[entity].optional !== true)
  const first = always.find(({ entity }) => entity === 0) ?? always.at(0) ?? keepers.at(0)
  return keepers.sort((a, b) => Number(b === first) - Number(a === first))
}

/** 1970-01-01 was a Thursday: two days before the first Saturday. */
const FIRST_SATURDAY = 2 * DAY
const LAST_NIGHT_HOUR = 6

function requestValue(
  feature: RequestFeature,
  batch: EventBatch,
  schema: DatasetSchema,
  scale: number,
): (row: number) => number {
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

function transactionsOf(batch: EventBatch): number {
  let labels = 0
  for (let row = 0; row < batch.size; row++) labels += batch.kind[row]
  return batch.size - labels
}
