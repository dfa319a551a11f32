import type { Frame } from '../../datasets/frame/frame.ts'
import { withLookups } from '../../datasets/order/lookups.ts'
import { batchShape, type Dataset, type DatasetSchema } from '../../datasets/table/dataset.ts'
import { emptyBatch, LOOKUP, type EventBatch, type KeyColumn } from '../../datasets/table/transaction.ts'
import { historyOf } from '../backfill/backfill.ts'
import { ServiceFold } from '../fold/service-fold.ts'
import { checkService } from '../view/service-check.ts'
import type { FeatureService } from '../view/view.ts'
import { JoinedRows, type Joined } from './joined-rows.ts'

export interface JoinOptions {
  /** Orders the history by time first. */
  sort?: boolean
  /** Called after each batch with the number of events done so far. */
  report?: (events: number) => void
}

/**
 * Gives each row of a frame the features of a service as of its time, out of a dataset's history: what a transaction of
 * its keys would have found that stood in the log just before all transactions of its instant. Fraud labels count that
 * were known by then. The row itself is no event: no window counts it, and no other row knows of it.
 *
 * A row with the id of a transaction of the history, and its time where the frame has times, is that transaction. It
 * gets the very features which a backfill computes for it, itself counted where the view says so.
 *
 * The history is folded once, with the rows among its events, by the fold that backfill and scorer have. It is read no
 * further than the last row needs. In memory are the rows of the frame and 8 bytes for each of their features.
 *
 * @throws UserError when the dataset lacks what the service reads, and as `Dataset.batches`.
 */
export async function joinFeatures(
  dataset: Dataset,
  service: FeatureService,
  frame: Frame,
  { sort = false, report = () => {} }: JoinOptions = {},
): Promise<Joined> {
  const { schema, name } = dataset
  checkService(service, schema, name)
  const order = timeOrder(frame)
  const lookups = rowsInOrder(frame.events, order, schema)
  const until = frame.timed ? { until: lookups.time[lookups.size - 1] + 1 } : {}
  const history = historyOf(dataset, { sort, ...until })
  const fold = new ServiceFold(service, schema)
  const rows = new JoinedRows(frame, service, schema)
  let looked = 0
  for await (const batch of withLookups(history, lookups, schema)) {
    const matrix = fold.fold(batch)
    looked = rows.take(batch, matrix, order, looked)
    report(rows.report.events)
  }
  return rows.finish()
}

/** The rows with a time, in order of it; rows of one time in the order of the frame. */
function timeOrder({ events, timed }: Frame): Uint32Array {
  if (!timed) return new Uint32Array(0)
  const { time, size } = events
  const order = Uint32Array.from({ length: size }, (_, row) => row)
  for (let row = 1; row < size; row++)
    if (time[row] < time[row - 1]) return order.sort((a, b) => time[a] - time[b] || a - b)
  return order
}

/** A copy of some rows of a batch. */
function rowsInOrder(events: EventBatch, order: Uint32Array, schema: DatasetSchema): EventBatch {
  const batch = emptyBatch(batchShape(schema), order.length)
  batch.kind.fill(LOOKUP)
  const pick = (from: KeyColumn, to: KeyColumn): void => {
    for (let row = 0; row < order.length; row++) to[row] = from[order[row]]
  }
  pick(events.time, batch.time)
  pick(events.amount, batch.amount)
  events.entities.forEach((column, e) => pick(column, batch.entities[e]))
  events.numeric.forEach((column, c) => pick(column, batch.numeric[c]))
  events.categorical.forEach((column, c) => pick(column, batch.categorical[c]))
  return batch
}
