import { type DatasetSchema, mayLackKey } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, type DurationMs, type EventBatch } from '../../datasets/table/transaction.ts'
import { featureNames, type FeatureService, type FeatureView } from '../view/view.ts'
import { featureMatrix, type FeatureMatrix } from './fold-output.ts'
import { viewSettings } from './fold-settings.ts'
import { LABEL_COUNTS, noLabels, type LabelCounts } from './fraud-labels.ts'
import { IdHashes } from './id-hash.ts'
import { IdMemory, needsMemory } from './id-memory.ts'
import { Repeats, type Repeat } from './repeats.ts'
import { DerivedFeatures, RequestFeatures } from './row-features.ts'
import { ViewFold } from './view-fold.ts'

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

/** The keys that a batch brings to a view for the first time. */
export interface FreshKeys {
  view: ViewFold
  keys: (number | string)[]
}

export interface ServiceFoldOptions {
  /** As in `FoldSettings`. */
  lateness?: DurationMs
  /**
   * For how long ids are remembered where no view of the service holds every transaction. Default: not at all, as for a
   * stage behind the first, and for history.
   */
  rememberIds?: DurationMs
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
 * aggregates from the fold of their view, derived ones from the row's features. Not reentrant: one batch at a time.
 */
export class ServiceFold {
  readonly service: FeatureService
  readonly names: string[]
  readonly views: ViewFold[] = []
  readonly #requests: RequestFeatures
  readonly #derived: DerivedFeatures
  readonly #folded: Folded[] = []
  /** The views that keep ids, in the order in which they are asked, and what asks them. */
  readonly #keepers: readonly Folded[]
  readonly #repeats: Repeats
  readonly #memory: IdMemory | undefined
  readonly #hashes = new IdHashes()
  /** The batch whose ids were hashed. */
  #hashed: EventBatch | undefined
  #prepared: EventBatch | undefined
  #matrix = featureMatrix()

  constructor(
    service: FeatureService,
    schema: DatasetSchema,
    { views = service.views, from, rememberIds = 0, ...settings }: ServiceFoldOptions = {},
  ) {
    this.service = service
    this.names = featureNames(service)
    this.#requests = new RequestFeatures(service, schema, views)
    this.#derived = new DerivedFeatures(service, views)
    let column = 0
    for (const view of service.views) {
      if (view.kind === 'aggregate' && views.includes(view)) {
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
      }
      column += view.features.length
    }
    this.#keepers = keepersOf(this.#folded, schema)
    if (rememberIds > 0 && needsMemory(service, schema)) {
      this.#memory = new IdMemory(rememberIds, schema)
      this.views.push(this.#memory.fold)
    }
    const memory = this.#memory === undefined ? [] : [this.#memory.view]
    this.#repeats = new Repeats([...this.#keepers.map(({ fold }) => ({ view: fold })), ...memory])
  }

  /** Indices of the columns that this fold computes, rising. */
  get columns(): number[] {
    const own = this.#folded.flatMap(({ fold, column }) => fold.view.features.map((_, f) => column + f))
    return [...this.#requests.columns, ...own, ...this.#derived.columns].sort((a, b) => a - b)
  }

  /**
   * Finds the keys of a batch and returns those seen for the first time. The caller restores their stored state, if
   * there is any, before it calls `fold`.
   */
  prepare(batch: EventBatch): FreshKeys[] {
    this.#prepared = batch
    this.#hashed = undefined
    const fresh = this.#folded.map((folded) => {
      if (folded.slots.length < batch.size) folded.slots = new Uint32Array(batch.size)
      return { view: folded.fold, keys: folded.fold.resolve(batch.entities[folded.entity], batch.size, folded.slots) }
    })
    const memory = this.#memory
    if (memory !== undefined) fresh.push({ view: memory.fold, keys: memory.prepare(batch, this.#hashesOf(batch)) })
    return fresh.filter(({ keys }) => keys.length > 0)
  }

  /**
   * The rows of a prepared batch that are transactions for the second time, as `Repeats.of` finds them. The first view
   * of the log's key is asked first or, without one, another that keeps ids, of an entity that every row has if there
   * is one. The ids that are remembered (`IdMemory`) are asked last. None where nothing is asked.
   *
   * @param places by row, as in `FoldPlace`.
   */
  repeated(batch: EventBatch, places?: Float64Array): Repeat[] {
    const hashes = this.#hashesOf(batch)
    const memory = this.#memory === undefined ? [] : [this.#memory]
    return this.#repeats.of(batch, [...this.#keepers.map(({ slots }) => ({ slots, hashes })), ...memory], places)
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
    matrix.rows = featureRows(batch)
    if (earlier !== undefined) {
      matrix.values.set(earlier.values.subarray(0, matrix.rows * width))
      matrix.late.set(earlier.late.subarray(0, matrix.rows))
      matrix.truncated.set(earlier.truncated.subarray(0, matrix.rows))
    }
    this.#requests.write(batch, matrix.values, width)
    const hashes = this.#hashesOf(batch)
    for (const { fold, slots, column, bit } of this.#folded)
      fold.fold(batch, slots, matrix, { column, stride: width, bit, places, hashes })
    this.#memory?.add(batch, places)
    this.#derived.write(matrix, width)
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

  /** The ids of a prepared batch, where any view keeps ids: with views there is always one that does. */
  #hashesOf(batch: EventBatch): IdHashes {
    if (this.#hashed === batch || this.views.length === 0) return this.#hashes
    this.#hashed = batch
    return this.#hashes.take(batch)
  }

  #room(size: number): FeatureMatrix {
    if (this.#matrix.late.length < size) this.#matrix = featureMatrix(size, this.names.length)
    this.#matrix.late.fill(0)
    this.#matrix.truncated.fill(0)
    return this.#matrix
  }
}

/** The views that keep ids, the one that is asked first in front. */
function keepersOf(folded: readonly Folded[], schema: DatasetSchema): Folded[] {
  const keepers = folded.filter(({ fold }) => fold.payments.rings.columns.id)
  const always = keepers.filter(({ entity }) => !mayLackKey(schema, schema.entities[entity]))
  const first = always.find(({ entity }) => entity === 0) ?? always.at(0) ?? keepers.at(0)
  return keepers.sort((a, b) => Number(b === first) - Number(a === first))
}

/** How many rows of a batch have features: transactions and lookups. */
export function featureRows({ kind, size }: EventBatch): number {
  let labels = 0
  for (let row = 0; row < size; row++) if (kind[row] === FRAUD_LABEL) labels++
  return size - labels
}
