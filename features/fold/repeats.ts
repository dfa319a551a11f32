import { FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'
import { hashId, hashIdHigh } from './id-hash.ts'
import type { ViewFold } from './view-fold.ts'

/**
 * The rows of a batch that are transactions for the second time: one of the same key, time and id stands in the ring of
 * their key, or earlier in the batch. Rising. The ring reaches back over the view's windows, so what is not found there
 * would be counted by no window.
 *
 * A row in order costs a comparison of times, and one with each row of its key before it in the batch.
 *
 * @param slots the slots of the rows' keys, as `ViewFold.resolve` gave them. The view must keep ids.
 */
export function repeatedRows(view: ViewFold, batch: EventBatch, slots: Uint32Array): number[] {
  const { kind, time, ids } = batch
  const found: number[] = []
  const last = new Map<number, number>()
  const previous = new Int32Array(batch.size)
  for (let row = 0; row < batch.size; row++) {
    if (kind[row] === FRAUD_LABEL) continue
    const slot = slots[row]
    let earlier = last.get(slot) ?? -1
    previous[row] = earlier
    while (earlier >= 0 && (time[earlier] !== time[row] || ids[earlier] !== ids[row])) earlier = previous[earlier]
    if (earlier >= 0 || inRing(view, slot, time[row], ids[row])) found.push(row)
    else last.set(slot, row)
  }
  return found
}

function inRing({ rings, clock }: ViewFold, slot: number, time: number, id: number | string): boolean {
  if (time > clock.at(slot)) return false
  const [low, high] = [hashId(id), hashIdHigh(id)]
  for (let s = rings.after(slot, time) - 1; s >= rings.first[slot]; s--) {
    const p = rings.position(slot, s)
    if (rings.time[p] !== time) return false
    if (rings.idHash[p] === low && rings.idHigh[p] === high) return true
  }
  return false
}
