/** Milliseconds since the Unix epoch, UTC. */
export type EpochMs = number
/** A length of time in milliseconds. */
export type DurationMs = number

export const SECOND: DurationMs = 1_000
export const HOUR: DurationMs = 3_600_000
export const DAY: DurationMs = 86_400_000

/** Ids or entity keys of a batch: whole numbers as float64 (exact below 2^53), anything else as text. */
export type KeyColumn = Float64Array | string[]

/**
 * The kinds of rows in a batch. A label row says that a transaction became known as fraud. A lookup asks what a
 * transaction in its place would find, and is none itself: whatever comes after it does not know of it.
 */
export const TRANSACTION = 0
export const FRAUD_LABEL = 1
export const LOOKUP = 2

/** The label column of a transaction about which nothing is known. */
export const UNLABELLED = 255

/**
 * Events in log order, as columns; every column has at least `size` entries. Both drivers of the fold use this one
 * shape: backfill fills it from Parquet or CSV, the scorer from the event log.
 *
 * Transactions and fraud labels share one sequence, because order alone decides what a feature may know. A label row
 * repeats the id, event time and entity keys of its transaction and carries `knownAt`; its amount and attributes are
 * meaningless. Genuine transactions get no label row: a view counts only frauds that are known.
 */
export interface EventBatch {
  size: number
  /** By row: TRANSACTION or FRAUD_LABEL; LOOKUP only where rows of a user's own are joined with features. */
  kind: Uint8Array
  ids: KeyColumn
  /** Event time of the transaction, EpochMs. */
  time: Float64Array
  /** Minor units (cents), whole numbers; below 0 for a refund. */
  amount: Float64Array
  /** A column for each entity, in the order of `schema.entities`. A row without a key has NaN or '' (`isNoKey`). */
  entities: KeyColumn[]
  /** A column for each numeric attribute, in the order of `schema.numeric`. NaN: missing. */
  numeric: Float64Array[]
  /** A column for each categorical attribute, in the order of `schema.categorical`. '' : missing. */
  categorical: string[][]
  /** Transactions: 0 genuine, 1 fraud, UNLABELLED; the truth in hindsight, never visible to a fold. */
  label: Uint8Array
  /** When the label became known, EpochMs; Infinity when unlabelled. */
  knownAt: Float64Array
  /** By row: its number in the file, from 0. Only in what was read from a file and sorted. */
  fileRow?: Float64Array
}

type KeyType = 'integer' | 'string'

/** Which columns a batch has: the types of its keys, and how many attributes. */
export interface BatchShape {
  id: KeyType
  /** The keys of an entity of several columns are text. */
  entities: ({ type: KeyType } | { of: string[] })[]
  numeric: number
  categorical: number
}

/** A batch of `size` rows with the columns of `shape`, to be filled. */
export function emptyBatch(shape: BatchShape, size: number): EventBatch {
  const keys = (type: KeyType): KeyColumn =>
    type === 'integer' ? new Float64Array(size) : new Array<string>(size).fill('')
  return {
    size,
    kind: new Uint8Array(size),
    ids: keys(shape.id),
    time: new Float64Array(size),
    amount: new Float64Array(size),
    entities: shape.entities.map((entity) => keys('of' in entity ? 'string' : entity.type)),
    numeric: Array.from({ length: shape.numeric }, () => new Float64Array(size)),
    categorical: Array.from({ length: shape.categorical }, () => new Array<string>(size).fill('')),
    label: new Uint8Array(size).fill(UNLABELLED),
    knownAt: new Float64Array(size).fill(Infinity),
  }
}

/** The instant at which a row takes its place in the log: a label's is when it became known. */
export function logTime(batch: EventBatch, row: number): EpochMs {
  return batch.kind[row] === FRAUD_LABEL ? batch.knownAt[row] : batch.time[row]
}

/** Takes rows out of a batch, in place. `rows` are rising. */
export function removeRows(batch: EventBatch, rows: readonly number[]): void {
  const { kind, ids, time, amount, entities, numeric, categorical, label, knownAt } = batch
  for (const column of [kind, ids, time, amount, label, knownAt, ...entities, ...numeric, ...categorical]) {
    let [kept, next] = [rows[0], 0]
    for (let row = rows[0]; row < batch.size; row++) {
      if (row === rows[next]) next++
      else column[kept++] = column[row]
    }
  }
  batch.size -= rows.length
}
