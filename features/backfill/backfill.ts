import { inLogOrder } from '../../datasets/order/log-order.ts'
import type { Dataset, DatasetSchema } from '../../datasets/table/dataset.ts'
import { openParquetWriter, type ColumnValues, type ParquetColumn } from '../../datasets/table/parquet.ts'
import {
  FRAUD_LABEL,
  UNLABELLED,
  type EpochMs,
  type EventBatch,
  type KeyColumn,
} from '../../datasets/table/transaction.ts'
import { encodeState } from '../fold/entity-state.ts'
import type { FeatureMatrix } from '../fold/fold-output.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import type { EntityState } from '../store/online-store.ts'
import { checkService } from '../view/service-check.ts'
import { categoryColumns, featureNames, type FeatureService } from '../view/view.ts'

/**
 * Receives the features of every transaction, batch by batch, in log order. Batch and matrix are reused after the call,
 * so a sink copies what it keeps.
 */
export interface FeatureSink {
  write(batch: EventBatch, matrix: FeatureMatrix): void
  close(): Promise<void>
}

export interface BackfillReport {
  transactions: number
  frauds: number
  /** Fraud labels that became known within the history. */
  labels: number
  /** Transactions that came later than the allowed lateness. */
  late: number
  /** The newest event time that was folded, −Infinity when there was none. */
  watermark: EpochMs
}

export interface BackfillOptions {
  /** Folds only what stands in the log before this instant: transactions that happened, labels that were known. */
  until?: EpochMs
  /** Orders the file by time first. */
  sort?: boolean
  /** Called after each batch with the number of transactions done so far. */
  report?: (transactions: number) => void
}

/**
 * Folds a dataset's history in log order and hands the features to the sinks. Returns the fold with its state, from
 * which a scorer can go on.
 *
 * @throws UserError when the dataset lacks what the service reads, and as `Dataset.batches`.
 */
export async function backfill(
  dataset: Dataset,
  service: FeatureService,
  sinks: readonly FeatureSink[],
  options: BackfillOptions = {},
): Promise<{ report: BackfillReport; fold: ServiceFold }> {
  checkService(service, dataset.schema, dataset.name)
  const fold = new ServiceFold(service, dataset.schema)
  const report: BackfillReport = { transactions: 0, frauds: 0, labels: 0, late: 0, watermark: -Infinity }
  for await (const batch of historyOf(dataset, options)) {
    const matrix = fold.fold(batch)
    for (const sink of sinks) sink.write(batch, matrix)
    count(batch, matrix, report)
    options.report?.(report.transactions)
  }
  for (const sink of sinks) await sink.close()
  return { report, fold }
}

/** A dataset's events in log order, up to the instant where the backfill stops. */
export function historyOf(dataset: Dataset, { sort = false, until }: BackfillOptions): AsyncIterable<EventBatch> {
  return inLogOrder(dataset.batches({ sort }), dataset.schema, until === undefined ? {} : { until })
}

function count(batch: EventBatch, matrix: FeatureMatrix, report: BackfillReport): void {
  report.transactions += matrix.rows
  report.labels += batch.size - matrix.rows
  for (let row = 0; row < batch.size; row++) {
    if (batch.kind[row] === FRAUD_LABEL) continue
    if (batch.label[row] === 1) report.frauds++
    if (batch.time[row] > report.watermark) report.watermark = batch.time[row]
  }
  for (let k = 0; k < matrix.rows; k++) report.late += matrix.late[k]
}

/** The state of every key of a fold, for the online store. */
export function* statesOf(fold: ServiceFold): Generator<EntityState> {
  for (const view of fold.views) {
    for (let slot = 0; slot < view.keys; slot++)
      yield { view: view.view.name, key: view.key(slot), bytes: encodeState(view, slot) }
  }
}

/**
 * Writes `transaction_id`, the features and `label` (0, 1, or −1 when unknown) to Parquet, in log order. Features are
 * DOUBLE, as the fold computed them; a category is VARCHAR, its name, '' where it is missing. The file appears under
 * its name when the sink is closed.
 */
export async function parquetSink(
  file: string,
  service: FeatureService,
  schema: DatasetSchema,
): Promise<FeatureSink & AsyncDisposable> {
  const names = featureNames(service)
  const categories = categoryColumns(service, schema)
  const isCategory = new Set(categories.map(({ feature }) => feature))
  const columns: ParquetColumn[] = [
    { name: 'transaction_id', type: schema.id?.type === 'string' ? 'VARCHAR' : 'BIGINT' },
    ...names.map((name, f): ParquetColumn => ({ name, type: isCategory.has(f) ? 'VARCHAR' : 'DOUBLE' })),
    { name: 'label', type: 'INTEGER' },
  ]
  const writer = await openParquetWriter(file, columns)
  let features: Float64Array[] = []
  return {
    write: (batch, matrix) => {
      if (features.length === 0 || features[0].length < matrix.rows)
        features = names.map(() => new Float64Array(matrix.rows))
      transpose(matrix, features)
      const { ids, labels } = transactionsOnly(batch, matrix.rows)
      const columns: ColumnValues[] = [...features]
      for (const { feature, source } of categories) columns[feature] = categoriesOf(batch, source)
      writer.append([ids, ...columns, labels], matrix.rows)
    },
    close: () => writer.close(),
    [Symbol.asyncDispose]: () => writer[Symbol.asyncDispose](),
  }
}

function transpose(matrix: FeatureMatrix, columns: Float64Array[]): void {
  const width = columns.length
  columns.forEach((column, f) => {
    for (let k = 0, at = f; k < matrix.rows; k++, at += width) column[k] = matrix.values[at]
  })
}

/** The names in one categorical column of the batch's transactions. */
function categoriesOf({ categorical, kind, size }: EventBatch, source: number): string[] {
  return categorical[source].slice(0, size).filter((_, row) => kind[row] !== FRAUD_LABEL)
}

function transactionsOnly(batch: EventBatch, rows: number): { ids: KeyColumn; labels: Int32Array } {
  const labels = new Int32Array(rows)
  const ids: KeyColumn = Array.isArray(batch.ids) ? [] : new Float64Array(rows)
  let k = 0
  for (let row = 0; row < batch.size; row++) {
    if (batch.kind[row] === FRAUD_LABEL) continue
    ids[k] = batch.ids[row]
    labels[k] = batch.label[row] === UNLABELLED ? -1 : batch.label[row]
    k++
  }
  return { ids, labels }
}
