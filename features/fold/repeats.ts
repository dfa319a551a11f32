import { FRAUD_LABEL, type EventBatch } from '../../datasets/table/transaction.ts'
import { Growing } from './growing.ts'
import { hashId, hashIdHigh } from './id-hash.ts'
import { NO_PLACE } from './log-place.ts'
import type { EventRings } from './ring.ts'
import { NO_SLOT } from './slots.ts'
import type { ViewFold } from './view-fold.ts'

/** A row of a batch that is a transaction for the second time. */
export interface Repeat {
  row: number
  /** The place of the first one, as `packPlace` gives it. */
  first: number
}

/** Finds transactions that come twice, by the rings of a view that keeps ids. */
export class Repeats {
  readonly #view: ViewFold
  /** By slot: 1 + the last row of the batch at hand with this key, 0 when none was yet. All 0 between two batches. */
  readonly #last = new Growing(Uint32Array)
  /** By row: the row of the same key before it. */
  #previous = new Int32Array(64)

  constructor(view: ViewFold) {
    this.#view = view
  }

  /**
   * The rows of a batch that are transactions for the second time: one of the same key, time and id stands in the ring
   * of their key, or earlier in the batch. In order of rows. The ring reaches back over the windows of all views of the
   * entity, so what is not found there would be counted by none of them. A row without a key is never found.
   *
   * A row in order costs a comparison of times, and one with each row of its key before it in the batch.
   *
   * @param slots the slots of the rows' keys, as `ViewFold.resolve` gave them.
   * @param places where the rows stand in the log, as `packPlace` gives it.
   */
  of(batch: EventBatch, slots: Uint32Array, places?: Float64Array): Repeat[] {
    const { kind, time, ids } = batch
    this.#makeRoom(batch.size)
    const last = this.#last.array
    const previous = this.#previous
    const found: Repeat[] = []
    for (let row = 0; row < batch.size; row++) {
      const slot = slots[row]
      if (kind[row] === FRAUD_LABEL || slot === NO_SLOT) continue
      let earlier = last[slot] - 1
      previous[row] = earlier
      while (earlier >= 0 && (time[earlier] !== time[row] || ids[earlier] !== ids[row])) earlier = previous[earlier]
      const first = earlier >= 0 ? (places?.[earlier] ?? NO_PLACE) : this.#known(slot, time[row], ids[row])
      if (first === undefined) last[slot] = row + 1
      else found.push({ row, first })
    }
    for (let row = 0; row < batch.size; row++) if (slots[row] !== NO_SLOT) last[slots[row]] = 0
    return found
  }

  /** The rows of transactions from so far back that the rings of their key may have let them go, or without a key. */
  forgotten({ kind, time, size }: EventBatch, slots: Uint32Array): Set<number> {
    const { payments } = this.#view
    const rows = new Set<number>()
    for (let row = 0; row < size; row++) {
      if (kind[row] === FRAUD_LABEL) continue
      if (slots[row] === NO_SLOT || time[row] < payments.reach(slots[row])) rows.add(row)
    }
    return rows
  }

  /**
   * The place of the event in the rings, undefined when it is not there. Whichever kind it is now: a payment that comes
   * again as a refund is the same transaction.
   */
  #known(slot: number, time: number, id: number | string): number | undefined {
    const { payments, refunds } = this.#view
    if (time > payments.clock.at(slot)) return undefined
    return placeIn(payments.rings, slot, time, id) ?? (refunds && placeIn(refunds.rings, slot, time, id))
  }

  #makeRoom(rows: number): void {
    if (this.#previous.length < rows) this.#previous = new Int32Array(rows)
    this.#last.grow(this.#view.keys)
  }
}

function placeIn(rings: EventRings, slot: number, time: number, id: number | string): number | undefined {
  const [low, high] = [hashId(id), hashIdHigh(id)]
  for (let s = rings.after(slot, time) - 1; s >= rings.first[slot]; s--) {
    const p = rings.position(slot, s)
    if (rings.time[p] !== time) return undefined
    if (rings.idHash[p] === low && rings.idHigh[p] === high) return rings.places ? rings.place[p] : NO_PLACE
  }
  return undefined
}
