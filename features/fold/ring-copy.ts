import type { EpochMs, EventBatch } from '../../datasets/table/transaction.ts'
import type { EventFold } from './event-fold.ts'
import { hashId, hashIdHigh } from './id-hash.ts'
import { NO_PLACE } from './log-place.ts'
import type { EventRings } from './ring.ts'
import type { ViewFold } from './view-fold.ts'

/** The rings of payments and of refunds. */
type Rings = Pick<ViewFold, 'payments' | 'refunds'>

/** The rings of one key, copied so that one sees what will be in them after rows that are not folded yet. */
export class RingCopy implements Rings {
  readonly payments: EventFold
  readonly refunds: EventFold | undefined
  /** The newest row that was folded, −1 before the first. */
  newest = -1

  constructor({ payments, refunds }: Rings, slot: number) {
    this.payments = payments.shadow(slot)
    this.refunds = refunds?.shadow(slot)
  }

  /** Folds a transaction of a batch. Rows come in their order. */
  fold({ time, amount, ids }: EventBatch, row: number, place: number): void {
    const [low, high] = [hashId(ids[row]), hashIdHigh(ids[row])]
    for (const fold of [this.payments, this.refunds]) {
      if (fold === undefined) continue
      if (place !== NO_PLACE) fold.rings.keepPlaces()
      fold.place = place
      fold.setId(low, high)
      fold.fold(0, time[row], fold === foldOf(this, amount[row]), 0, NO_FEATURES, 0)
    }
    this.newest = row
  }
}

const NO_FEATURES = new Float64Array(0)

/** The rings in which a transaction of this amount stands. */
export function foldOf({ payments, refunds }: Rings, amount: number): EventFold {
  return amount < 0 ? (refunds ?? payments) : payments
}

/** The place of the newest transaction of a slot with this time and id, undefined when there is none in the rings. */
export function placeIn({ payments, refunds }: Rings, slot: number, time: EpochMs, id: number | string) {
  if (time > payments.clock.at(slot)) return undefined
  return newestIn(payments.rings, slot, time, id) ?? (refunds && newestIn(refunds.rings, slot, time, id))
}

function newestIn(rings: EventRings, slot: number, time: EpochMs, id: number | string): number | undefined {
  let s = rings.after(slot, time) - 1
  if (s < rings.first[slot] || rings.time[rings.position(slot, s)] !== time) return undefined
  // Hashing a text costs more than the search, so it waits until there is an event of this time.
  const [low, high] = [hashId(id), hashIdHigh(id)]
  for (; s >= rings.first[slot]; s--) {
    const p = rings.position(slot, s)
    if (rings.time[p] !== time) return undefined
    if (rings.idHash[p] === low && rings.idHigh[p] === high) return rings.places ? rings.place[p] : NO_PLACE
  }
  return undefined
}
