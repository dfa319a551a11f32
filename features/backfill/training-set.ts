import { type DatasetSchema, keyTypeOf } from '../../datasets/table/dataset.ts'
import {
  FRAUD_LABEL,
  UNLABELLED,
  type EpochMs,
  type EventBatch,
  type KeyColumn,
} from '../../datasets/table/transaction.ts'
import type { FeatureMatrix } from '../fold/fold-output.ts'
import { toModelInput } from '../fold/model-input.ts'
import { categoryColumns, featureNames, type FeatureService } from '../view/view.ts'
import type { FeatureSink } from './backfill.ts'

/** A categorical column of a matrix. Its numbers say where in `names` a row's category stands; NaN is missing. */
export interface CategoricalColumn {
  /** Column of the matrix. */
  feature: number
  /** The categories, each once, in the order in which the rows brought them. */
  names: string[]
}

/**
 * What a model is fitted on and judged on: features as the model reads them, in log order.
 *
 * `x` is row-major, `rows × names.length`, float32: the same cast that the scorer applies, so a threshold in a tree is
 * the threshold in ONNX. `y` is 0 or 1, or UNLABELLED in a set that was gathered with `unlabelled`.
 */
export interface TrainingSet {
  names: string[]
  /** The columns of `x` that hold categories, in the order of the service; all others are numbers. */
  categorical: CategoricalColumn[]
  rows: number
  x: Float32Array
  y: Uint8Array
  /** Event time, EpochMs, not falling. */
  time: Float64Array
  /** Present where the dataset has no times: then `time` counts rows. */
  untimed?: true
  /**
   * In minor units of the currency; of a refund, what was paid back. Absent in sets that were not gathered from
   * transactions.
   */
  amounts?: Float64Array
  ids: KeyColumn
  /** Join key of the entity whose alerts precision@k counts (the card). Absent when the dataset has none. */
  cards?: KeyColumn
}

/** A sink that keeps transactions as a training set. */
export interface TrainingSetSink extends FeatureSink {
  /** What has been gathered so far. */
  set(): TrainingSet
}

/** Rows for which a set has room at first; a full one doubles. */
const FIRST_ROOM = 16_384

/**
 * Gathers a backfill's labelled rows in memory: 4 bytes a feature and about 33 a row.
 *
 * @param options.cardEntity the entity whose alerts are counted; by default the first.
 * @param options.knownBy keeps only transactions whose label was known by then: what a training at that instant could
 *   use.
 * @param options.unlabelled keeps the other transactions too, as UNLABELLED.
 */
export function trainingSetSink(
  service: FeatureService,
  schema: DatasetSchema,
  options: { cardEntity?: string; knownBy?: EpochMs; unlabelled?: boolean } = {},
): TrainingSetSink {
  const { cardEntity, knownBy = Infinity, unlabelled = false } = options
  const card = cardEntity === undefined ? 0 : schema.entities.findIndex((entity) => entity.name === cardEntity)
  const entity = card < 0 ? undefined : schema.entities.at(card)
  const set = emptySet(service, schema, entity && keyTypeOf(entity))
  const numberings = categoryColumns(service, schema).map(({ source }, c) => ({
    source,
    column: set.categorical[c],
    indexOf: new Map<string, number>(),
  }))
  return {
    write: (batch: EventBatch, matrix: FeatureMatrix) => {
      while (set.rows + matrix.rows > set.y.length) grow(set)
      append(set, batch, matrix, { card, knownBy, unlabelled, numberings })
    },
    close: async () => {},
    set: () => filled(set),
  }
}

/** A set without rows whose columns have room for some. It has `cards` when these have a type. */
function emptySet(
  service: FeatureService,
  schema: DatasetSchema,
  cardType: 'integer' | 'string' | undefined,
): TrainingSet {
  const names = featureNames(service)
  const keys = (type: 'integer' | 'string'): KeyColumn => (type === 'string' ? [] : new Float64Array(FIRST_ROOM))
  return {
    names,
    categorical: categoryColumns(service, schema).map(({ feature }) => ({ feature, names: [] })),
    rows: 0,
    x: new Float32Array(FIRST_ROOM * names.length),
    y: new Uint8Array(FIRST_ROOM),
    time: new Float64Array(FIRST_ROOM),
    ...(schema.time === 'none' ? { untimed: true } : {}),
    amounts: new Float64Array(FIRST_ROOM),
    ids: keys(schema.id?.type ?? 'integer'),
    ...(cardType === undefined ? {} : { cards: keys(cardType) }),
  }
}

/** Doubles the room of a set's columns. */
function grow(set: TrainingSet): void {
  const room = 2 * set.y.length
  set.x = resized(set.x, room * set.names.length)
  set.y = resized(set.y, room)
  set.time = resized(set.time, room)
  if (set.amounts) set.amounts = resized(set.amounts, room)
  set.ids = resized(set.ids, room)
  if (set.cards) set.cards = resized(set.cards, room)
}

/** Numbers the categories of one column as they come. */
interface Numbering {
  /** Index in the batch's categorical columns. */
  source: number
  column: CategoricalColumn
  indexOf: Map<string, number>
}

/** The index of a category, NaN when it is missing. */
function numberOf(category: string, { column, indexOf }: Numbering): number {
  if (category === '') return Number.NaN
  const known = indexOf.get(category)
  if (known !== undefined) return known
  const index = column.names.push(category) - 1
  indexOf.set(category, index)
  return index
}

/** Appends a batch's transactions to a set with room for them. `card` is an entity's index. */
function append(
  set: TrainingSet,
  batch: EventBatch,
  matrix: FeatureMatrix,
  kept: { card: number; knownBy: EpochMs; unlabelled: boolean; numberings: Numbering[] },
): void {
  const { card, knownBy, unlabelled, numberings } = kept
  const width = set.names.length
  let k = 0
  for (let row = 0; row < batch.size; row++) {
    if (batch.kind[row] === FRAUD_LABEL) continue
    const known = batch.label[row] !== UNLABELLED && batch.knownAt[row] <= knownBy
    if (known || unlabelled) {
      toModelInput(matrix.values.subarray(k * width), width, set.x, set.rows * width)
      for (const numbering of numberings) {
        const category = batch.categorical[numbering.source][row]
        set.x[set.rows * width + numbering.column.feature] = numberOf(category, numbering)
      }
      set.y[set.rows] = known ? batch.label[row] : UNLABELLED
      set.time[set.rows] = batch.time[row]
      if (set.amounts) set.amounts[set.rows] = Math.abs(batch.amount[row])
      set.ids[set.rows] = batch.ids[row]
      if (set.cards) set.cards[set.rows] = batch.entities[card][row]
      set.rows++
    }
    k++
  }
}

/** The set without the room that its rows have not filled. */
function filled(set: TrainingSet): TrainingSet {
  return {
    ...set,
    x: set.x.subarray(0, set.rows * set.names.length),
    y: set.y.subarray(0, set.rows),
    time: set.time.subarray(0, set.rows),
    ...(set.amounts ? { amounts: set.amounts.subarray(0, set.rows) } : {}),
    ids: set.ids.slice(0, set.rows),
    ...(set.cards ? { cards: set.cards.slice(0, set.rows) } : {}),
  }
}

function resized<T extends Float32Array | Float64Array | Uint8Array | KeyColumn>(column: T, length: number): T {
  if (Array.isArray(column)) return column
  const wider = new (column.constructor as new (length: number) => T)(length)
  if (ArrayBuffer.isView(wider)) wider.set(column)
  return wider
}

/** The given rows of a set, in the given order, copied. */
export function subset(set: TrainingSet, rows: Int32Array): TrainingSet {
  const width = set.names.length
  const x = new Float32Array(rows.length * width)
  rows.forEach((row, i) => x.set(set.x.subarray(row * width, (row + 1) * width), i * width))
  return {
    ...set,
    rows: rows.length,
    x,
    y: Uint8Array.from(rows, (row) => set.y[row]),
    time: Float64Array.from(rows, (row) => set.time[row]),
    ...pickAmounts(set, rows),
    ids: pick(set.ids, rows),
    ...(set.cards ? { cards: pick(set.cards, rows) } : {}),
  }
}

function pickAmounts({ amounts }: TrainingSet, rows: Int32Array): Pick<TrainingSet, 'amounts'> {
  return amounts === undefined ? {} : { amounts: Float64Array.from(rows, (row) => amounts[row]) }
}

function pick(keys: KeyColumn, rows: Int32Array): KeyColumn {
  return Array.isArray(keys) ? Array.from(rows, (row) => keys[row]) : Float64Array.from(rows, (row) => keys[row])
}
