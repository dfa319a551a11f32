import { batchShape, type DatasetSchema } from '../table/dataset.ts'
import { emptyBatch, TRANSACTION, type EventBatch } from '../table/transaction.ts'
import { copyRun } from './log-order.ts'

/** Rows of a run of one batch. */
interface Run {
  source: EventBatch
  from: number
  to: number
}

/** Most rows of a batch that is put together. */
const MOST_ROWS = 16_384

/**
 * Puts lookups among the events of a log: each stands before the transactions of its own instant and of later ones, and
 * behind the fraud labels that were known by that instant. So it finds what was there just before it. Lookups of one
 * instant keep their order.
 *
 * @param events in log order.
 * @param lookups in order of time.
 */
export async function* withLookups(
  events: AsyncIterable<EventBatch>,
  lookups: EventBatch,
  schema: DatasetSchema,
): AsyncGenerator<EventBatch> {
  let next = 0
  for await (const batch of events) {
    const runs: Run[] = []
    let start = 0
    for (let row = 0; row < batch.size && next < lookups.size; row++) {
      const first = next
      while (next < lookups.size && standsBefore(lookups.time[next], batch, row)) next++
      if (next === first) continue
      if (row > start) runs.push({ source: batch, from: start, to: row })
      runs.push({ source: lookups, from: first, to: next })
      start = row
    }
    if (runs.length === 0) yield batch
    else yield* assembled([...runs, { source: batch, from: start, to: batch.size }], schema)
  }
  if (next < lookups.size) yield* assembled([{ source: lookups, from: next, to: lookups.size }], schema)
}

function standsBefore(time: number, batch: EventBatch, row: number): boolean {
  return batch.kind[row] === TRANSACTION ? time <= batch.time[row] : time < batch.knownAt[row]
}

/** Batches of bounded size with the rows of some runs, in order. */
function* assembled(runs: readonly Run[], schema: DatasetSchema): Generator<EventBatch> {
  const total = runs.reduce((rows, { from, to }) => rows + to - from, 0)
  let [done, at] = [0, 0]
  let target = emptyBatch(batchShape(schema), Math.min(MOST_ROWS, total))
  for (const { source, from, to } of runs) {
    for (let row = from; row < to;) {
      if (at === target.size) {
        yield target
        done += at
        at = 0
        target = emptyBatch(batchShape(schema), Math.min(MOST_ROWS, total - done))
      }
      const end = Math.min(to, row + target.size - at)
      copyRun(source, target, row, end, at)
      at += end - row
      row = end
    }
  }
  if (at > 0) yield target
}
