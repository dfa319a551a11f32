import type { Dataset, DatasetSchema } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, type EpochMs, type EventBatch, type KeyColumn } from '../../datasets/table/transaction.ts'
import { encodeState } from '../fold/entity-state.ts'
import { featureMatrix } from '../fold/fold-output.ts'
import { viewSettings } from '../fold/fold-settings.ts'
import { ViewFold } from '../fold/view-fold.ts'
import { AMOUNT, type AggregateFeature } from '../view/aggregation.ts'
import { checkService } from '../view/service-check.ts'
import type { AggregateView, FeatureService } from '../view/view.ts'
import { historyOf, type BackfillOptions } from './backfill.ts'
import {
  featuresFile,
  openPartWriter,
  rowBlock,
  stateBlock,
  statesFile,
  type PartWriter,
  type ShardFolder,
} from './shard-part.ts'

/** One of `count` equal parts of the keys of every view. */
export interface Shard extends ShardFolder {
  /** From 0. */
  shard: number
}

export interface ShardOptions extends BackfillOptions {
  /** What the shard shall write: features by row, states by key. */
  features: boolean
  states: boolean
  /** As in `openPartWriter`. */
  attempt: string
}

/** What a shard saw. `keys` counts its own keys; all else is of the whole history, the same in every shard. */
export interface ShardReport {
  transactions: number
  frauds: number
  labels: number
  /** The newest event time, −Infinity when there was none. */
  watermark: EpochMs
  keys: number
}

/** Which of `count` shards has a key: the same in every process, whole numbers and text spread evenly. */
export function shardOf(key: number | string, count: number): number {
  let hash = 0x811c9dc5
  if (typeof key === 'number') {
    hash = Math.imul(key ^ Math.imul(key / 0x1_0000_0000, 0x85ebca6b), 0x9e3779b1)
  } else {
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return ((hash ^ (hash >>> 13)) >>> 0) % count
}

/**
 * Folds the keys of one shard over the whole history and writes their parts: for each view the features of the shard's
 * rows, and for each key its state. A row goes by its number in the log, transactions counted from 0. The features of a
 * key depend on no other key, so the parts of all shards together hold the very bits of one unsharded fold.
 *
 * A second run writes the same parts again.
 *
 * @throws UserError when the dataset lacks what the service reads, and as `Dataset.batches`.
 */
export async function backfillShard(
  dataset: Dataset,
  service: FeatureService,
  shard: Shard,
  options: ShardOptions,
): Promise<ShardReport> {
  checkService(service, dataset.schema, dataset.name)
  const views = service.views
    .filter((view) => view.kind === 'aggregate')
    .map((view) => openViewShard(view, service, dataset.schema, shard, options))
  const report: ShardReport = { transactions: 0, frauds: 0, labels: 0, watermark: -Infinity, keys: 0 }
  try {
    for await (const batch of historyOf(dataset, options)) {
      const numbers = rowNumbers(batch, report.transactions)
      for (const view of views) view.write(batch, numbers)
      count(batch, report)
      options.report?.(report.transactions)
    }
    for (const view of views) view.close()
    const folds = views.map(({ fold }) => fold)
    if (options.states) writeStates(folds, shard, options.attempt)
    return { ...report, keys: folds.reduce((sum, fold) => sum + fold.keys, 0) }
  } finally {
    for (const view of views) view[Symbol.dispose]()
  }
}

/** The number of each transaction of a batch; −1 for a label. */
function rowNumbers(batch: EventBatch, first: number): Float64Array {
  const numbers = new Float64Array(batch.size)
  let next = first
  for (let row = 0; row < batch.size; row++) numbers[row] = batch.kind[row] === FRAUD_LABEL ? -1 : next++
  return numbers
}

function count(batch: EventBatch, report: ShardReport): void {
  for (let row = 0; row < batch.size; row++) {
    if (batch.kind[row] === FRAUD_LABEL) {
      report.labels++
      continue
    }
    report.transactions++
    if (batch.label[row] === 1) report.frauds++
    if (batch.time[row] > report.watermark) report.watermark = batch.time[row]
  }
}

/** The fold of one view over the keys of one shard. */
interface ViewShard extends Disposable {
  fold: ViewFold
  /** Folds the shard's rows of a batch. `numbers` is what `rowNumbers` gave for it. */
  write(batch: EventBatch, numbers: Float64Array): void
  close(): void
}

function openViewShard(
  view: AggregateView,
  service: FeatureService,
  schema: DatasetSchema,
  shard: Shard,
  { features, attempt }: ShardOptions,
): ViewShard {
  const fold = new ViewFold(view, viewSettings(view, service, schema))
  const entity = schema.entities.findIndex(({ name }) => name === view.entity)
  const width = view.features.length
  const whole = view.features.some((feature) => readsColumns(feature))
  const part: PartWriter | undefined = features
    ? openPartWriter(featuresFile(shard, view.name, shard.shard), attempt)
    : undefined
  return {
    fold,
    write: (batch, numbers) => {
      const rows = rowsOf(batch.entities[entity], batch.size, shard)
      const own = gather(batch, entity, rows, whole)
      const slots = new Uint32Array(rows.length)
      fold.resolve(own.entities[entity], own.size, slots)
      const transactions = rows.map((row) => numbers[row]).filter((number) => number >= 0)
      const matrix = featureMatrix(transactions.length, width)
      fold.fold(own, slots, matrix, { column: 0, stride: width, bit: 1 })
      if (transactions.length > 0) part?.write(rowBlock(transactions, matrix.values))
    },
    close: () => part?.close(),
    [Symbol.dispose]: () => part?.[Symbol.dispose](),
  }
}

/** Whether a feature reads more of an event than its key, time and amount. */
function readsColumns(feature: AggregateFeature): boolean {
  return feature.where !== undefined || ('of' in feature && feature.of !== AMOUNT)
}

/** The rows of a batch whose key belongs to the shard. */
function rowsOf(keys: KeyColumn, size: number, { shard, count: shards }: Shard): Float64Array {
  const rows = new Float64Array(size)
  let found = 0
  for (let row = 0; row < size; row++) if (shardOf(keys[row], shards) === shard) rows[found++] = row
  return rows.subarray(0, found)
}

/**
 * The given rows as a batch for a view's fold.
 *
 * @param whole with all columns. Else only the entity's key is the rows' own, and no other column may be read.
 */
function gather(batch: EventBatch, entity: number, rows: Float64Array, whole: boolean): EventBatch {
  const { kind, ids, time, amount, entities, numeric, categorical } = batch
  return {
    ...batch,
    size: rows.length,
    kind: Uint8Array.from(rows, (row) => kind[row]),
    ids: rowsOfKeys(ids, rows),
    time: Float64Array.from(rows, (row) => time[row]),
    amount: Float64Array.from(rows, (row) => amount[row]),
    entities: entities.map((keys, e) => (whole || e === entity ? rowsOfKeys(keys, rows) : keys)),
    numeric: whole ? numeric.map((column) => Float64Array.from(rows, (row) => column[row])) : numeric,
    categorical: whole ? categorical.map((column) => Array.from(rows, (row) => column[row])) : categorical,
  }
}

function rowsOfKeys(keys: KeyColumn, rows: Float64Array): KeyColumn {
  return Array.isArray(keys) ? Array.from(rows, (row) => keys[row]) : Float64Array.from(rows, (row) => keys[row])
}

function writeStates(folds: readonly ViewFold[], shard: Shard, attempt: string): void {
  using part = openPartWriter(statesFile(shard, shard.shard), attempt)
  for (const fold of folds) {
    for (let slot = 0; slot < fold.keys; slot++)
      part.write(stateBlock({ view: fold.view.name, key: fold.key(slot), bytes: encodeState(fold, slot) }))
  }
  part.close()
}
