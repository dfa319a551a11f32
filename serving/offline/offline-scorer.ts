import { inLogOrder } from '../../datasets/order/log-order.ts'
import type { Dataset } from '../../datasets/table/dataset.ts'
import { FRAUD_LABEL, type EpochMs, type EventBatch } from '../../datasets/table/transaction.ts'
import { inputOf } from '../../features/chain/folded-batch.ts'
import { ServiceFold } from '../../features/fold/service-fold.ts'
import { categoryColumns } from '../../features/view/view.ts'
import type { Champion } from '../model/champion.ts'
import { decide } from '../prediction.ts'

export interface OfflineRequest {
  champion: Champion
  /** What is scored, by the schema of the champion's card. */
  transactions: Dataset
  /** What was before: only its transactions from before the first that is scored count. Default: nothing. */
  history?: Dataset
  /** Orders both files by time first. */
  sort?: boolean
  /** Called after each batch with the number of events done so far. */
  report?: (events: number) => void
}

export interface OfflineScores {
  /** By row of the file: the model's output, a float32. */
  scores: Float64Array
  /** Transactions that were scored. */
  scored: number
  alerts: number
  /** Of these, those of a key with more events than a view keeps. */
  truncated: number
  /** Transactions of the history that were folded, and those that were not, as they are not from before. */
  history: { transactions: number; left: number }
}

/**
 * Scores a file of transactions, each as the scorer would have scored it at its time: with the features of what stood
 * before it in history and file, and with the fraud labels that were known by then. No log and no store has a part in
 * it, and nothing is kept. Scores are those of the stream bit for bit, where it had the same events in this order.
 *
 * @throws UserError as `Dataset.batches`.
 */
export async function scoreOffline(request: OfflineRequest): Promise<OfflineScores> {
  const { champion, transactions, report = () => {} } = request
  const { service, model, card } = champion
  const { schema } = card.dataset
  const sources = categoryColumns(service, schema).map(({ source }) => source)
  const found = {
    scores: new Float64Array(await transactions.count()),
    scored: 0,
    alerts: 0,
    truncated: 0,
    history: { transactions: 0, left: 0 },
  }
  const file = new FileRows()
  const fold = new ServiceFold(service, schema)
  let events = 0
  for await (const batch of inLogOrder(sequence(request, file, found), schema)) {
    const features = fold.fold(batch)
    const fresh = rowsFrom(batch, file.begin)
    const firstFeature = features.rows - fresh.length
    if (fresh.length > 0) {
      const scores = await model.score(
        inputOf({ events: batch, fresh, features, firstFeature }, fold.names.length, sources),
      )
      for (let i = 0; i < fresh.length; i++) {
        found.scores[file.next()] = scores[i]
        if (decide(scores[i], champion.threshold.value) === 'alert') found.alerts++
        if (features.truncated[firstFeature + i] !== 0) found.truncated++
      }
      found.scored += fresh.length
    }
    events += batch.size
    report(events)
  }
  return found
}

/** Where the rows of the file that are scored begin in time, and where each stands in the file. */
class FileRows {
  begin: EpochMs = Infinity
  /** The rows that were read and not yet scored, where the file was sorted. */
  #places: Float64Array[] = []
  #at = 0
  #count = 0

  read(batch: EventBatch): void {
    if (this.begin === Infinity) this.begin = batch.time[0]
    if (batch.fileRow !== undefined) this.#places.push(batch.fileRow.subarray(0, batch.size))
  }

  /** The number in the file of the row that is scored next. */
  next(): number {
    if (this.#places.length === 0) return this.#count++
    const [places] = this.#places
    const row = places[this.#at++]
    if (this.#at === places.length) {
      this.#places.shift()
      this.#at = 0
    }
    return row
  }
}

/** The history up to the first transaction of the file, then the file. */
async function* sequence(
  { transactions, history, sort = false }: OfflineRequest,
  file: FileRows,
  { history: counts }: Pick<OfflineScores, 'history'>,
): AsyncGenerator<EventBatch> {
  const batches = transactions.batches({ sort })[Symbol.asyncIterator]()
  let next = await batches.next()
  if (next.done === true) return
  file.read(next.value)
  if (history !== undefined) {
    for await (const batch of history.batches({ sort })) {
      const size = rowsBefore(batch, file.begin)
      counts.transactions += size
      counts.left += batch.size - size
      if (size > 0) yield { ...batch, size }
    }
  }
  while (next.done !== true) {
    yield next.value
    next = await batches.next()
    if (next.done !== true) file.read(next.value)
  }
}

/** How many rows of a batch in order of time lie before an instant. */
function rowsBefore({ time, size }: EventBatch, instant: EpochMs): number {
  let rows = size
  while (rows > 0 && time[rows - 1] >= instant) rows--
  return rows
}

/** The transactions of a batch from an instant on: its last ones. */
function rowsFrom({ kind, time, size }: EventBatch, instant: EpochMs): number[] {
  const rows: number[] = []
  for (let row = 0; row < size; row++) if (kind[row] !== FRAUD_LABEL && time[row] >= instant) rows.push(row)
  return rows
}
