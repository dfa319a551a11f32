import type { DecodedBatch } from '../../datasets/log/event-json.ts'
import { removeRows } from '../../datasets/table/transaction.ts'
import type { ServiceFold } from '../fold/service-fold.ts'

/**
 * Takes out of a batch the transactions that the fold has seen before: the first one counts. A second one is a record
 * that a producer sent again, or one of a history that was backfilled and is sent to the log as well. Either way its
 * windows hold it already. It becomes a rejection, and is neither folded nor scored.
 *
 * The fold must have been prepared for the batch, with the stored state of its keys. Changes the batch in place.
 */
export function removeDuplicates(decoded: DecodedBatch, fold: ServiceFold): void {
  const { events, index, rejected } = decoded
  const rows = fold.repeated(events)
  if (rows.length === 0) return
  for (const row of rows) {
    const reason =
      `transaction ${events.ids[row]} of this key and time was here before, in the log or in the history that was ` +
      'backfilled (fd features backfill --until ends a history before the log begins)'
    rejected.push({ index: index[row], kind: 'duplicate', reason })
  }
  rejected.sort((a, b) => a.index - b.index)
  removeRows(events, rows)
  const gone = new Set(rows)
  let kept = 0
  for (let row = 0; row < events.size + rows.length; row++) if (!gone.has(row)) index[kept++] = index[row]
  fold.prepare(events)
}
