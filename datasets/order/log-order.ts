import { batchShape, type DatasetSchema } from '../table/dataset.ts'
import { emptyBatch, FRAUD_LABEL } from '../table/transaction.ts'
import type { EpochMs, EventBatch, KeyColumn } from '../table/transaction.ts'
import type { PendingLabel, PendingLabels } from './pending-labels.ts'
import { labelHeap, labelQueue } from './pending-labels.ts'

/** A piece of the merged batch, in order: a run of the input's rows, or one label. */
type Piece = { from: number; to: number } | { label: PendingLabel }

/** Keeps rows with `from ≤ logTime < until`; absent: no bound. */
export interface LogStretch {
  from?: EpochMs
  until?: EpochMs
}

/**
 * Log order: places each fraud label among the transactions where it became known, so that the order of rows says what
 * may be known when. Input: transactions in order of time.
 *
 * - Rows are in order of `logTime`; at an equal instant labels stand before transactions.
 * - A label known no later than its transaction's own time stands right after it, with that time as `knownAt`.
 * - Labels that become known after the last transaction are left out, because no transaction could have used them. With
 *   `until` they are there if known before it.
 * - A label within `from` and `until` is kept even when its transaction is outside.
 *
 * A batch into which no label falls is passed on as it is, not copied.
 */
export async function* inLogOrder(
  batches: AsyncIterable<EventBatch>,
  schema: DatasetSchema,
  { from = -Infinity, until = Infinity }: LogStretch = {},
): AsyncGenerator<EventBatch> {
  // After a constant delay labels become known in the order of their transactions.
  const pending = schema.label?.knownAt === undefined ? labelQueue() : labelHeap()
  let lastTime = -Infinity
  for await (const batch of batches) {
    const end = firstRowAt(batch, until)
    const pieces = mergePieces(batch, end, from, pending)
    if (end > 0) lastTime = batch.time[end - 1]
    if (isWhole(pieces, batch)) yield batch
    else if (pieces.length > 0) yield assemble(batch, schema, pieces)
    if (end < batch.size) break
  }
  const rest = takeWhile(pending, from, (at) => (until === Infinity ? at <= lastTime : at < until))
  if (rest.length > 0) yield assemble(undefined, schema, rest)
}

/** The first row with time ≥ `instant`, or `size`. */
function firstRowAt(batch: EventBatch, instant: EpochMs): number {
  if (batch.size === 0 || batch.time[batch.size - 1] < instant) return batch.size
  return batch.time.findIndex((time) => time >= instant)
}

function mergePieces(batch: EventBatch, end: number, from: EpochMs, pending: PendingLabels): Piece[] {
  const pieces: Piece[] = []
  let start = Math.min(firstRowAt(batch, from), end)
  for (let row = 0; row < end; row++) {
    const time = batch.time[row]
    if (pending.next <= time) {
      const labels = takeWhile(pending, from, (at) => at <= time)
      // Before `start` no transaction is kept, so there is no run to close.
      if (labels.length > 0 && row > start) pieces.push({ from: start, to: row })
      if (labels.length > 0) start = Math.max(start, row)
      pieces.push(...labels)
    }
    if (batch.label[row] === 1 && batch.knownAt[row] < Infinity) pending.add(pendingLabel(batch, row))
  }
  if (end > start) pieces.push({ from: start, to: end })
  return pieces
}

function takeWhile(pending: PendingLabels, from: EpochMs, due: (at: EpochMs) => boolean): { label: PendingLabel }[] {
  const labels: { label: PendingLabel }[] = []
  while (pending.next < Infinity && due(pending.next)) {
    const label = pending.take()
    if (label.at >= from) labels.push({ label })
  }
  return labels
}

function pendingLabel(batch: EventBatch, row: number): PendingLabel {
  const time = batch.time[row]
  return {
    at: Math.max(batch.knownAt[row], time),
    id: batch.ids[row],
    time,
    entities: batch.entities.map((column) => column[row]),
  }
}

function isWhole(pieces: Piece[], batch: EventBatch): boolean {
  return pieces.length === 1 && 'from' in pieces[0] && pieces[0].from === 0 && pieces[0].to === batch.size
}

function assemble(source: EventBatch | undefined, schema: DatasetSchema, pieces: Piece[]): EventBatch {
  const size = pieces.reduce((rows, piece) => rows + ('label' in piece ? 1 : piece.to - piece.from), 0)
  const target = emptyBatch(batchShape(schema), size)
  let at = 0
  for (const piece of pieces) {
    if ('label' in piece) writeLabel(target, at++, piece.label)
    else if (source !== undefined) {
      copyRun(source, target, piece.from, piece.to, at)
      at += piece.to - piece.from
    }
  }
  return target
}

function writeLabel(batch: EventBatch, row: number, label: PendingLabel): void {
  batch.kind[row] = FRAUD_LABEL
  batch.ids[row] = label.id
  batch.time[row] = label.time
  batch.label[row] = 1
  batch.knownAt[row] = label.at
  for (const [index, key] of label.entities.entries()) batch.entities[index][row] = key
}

/** Copies rows from `from` to before `to`, in all their columns. */
export function copyRun(source: EventBatch, target: EventBatch, from: number, to: number, at: number): void {
  copyKeys(source.ids, target.ids, from, to, at)
  target.kind.set(source.kind.subarray(from, to), at)
  target.time.set(source.time.subarray(from, to), at)
  target.amount.set(source.amount.subarray(from, to), at)
  target.label.set(source.label.subarray(from, to), at)
  target.knownAt.set(source.knownAt.subarray(from, to), at)
  for (const [index, column] of source.entities.entries()) copyKeys(column, target.entities[index], from, to, at)
  for (const [index, column] of source.numeric.entries()) target.numeric[index].set(column.subarray(from, to), at)
  for (const [index, column] of source.categorical.entries()) copyKeys(column, target.categorical[index], from, to, at)
}

function copyKeys(source: KeyColumn, target: KeyColumn, from: number, to: number, at: number): void {
  if (source instanceof Float64Array && target instanceof Float64Array) target.set(source.subarray(from, to), at)
  else for (let row = from; row < to; row++) target[at + row - from] = source[row]
}
