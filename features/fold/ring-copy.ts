import type { EpochMs, EventBatch } from '../../datasets/table/transaction.ts'
import { NO_PLACE } from '../window/log-place.ts'
import type { EventRings } from '../window/ring.ts'
import type { EventFold } from './event-fold.ts'
import type { IdHashes } from './id-hash.ts'
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
  fold({ time, amount }: EventBatch, { low, high }: IdHashes, row: number, place: number): void {
    for (const fold of [this.payments, this.refunds]) {
      if (fold === undefined) continue
      if (place !== NO_PLACE) fold.rings.keepPlaces()
      fold.place = place
      fold.setId(low[row], high[row])
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

/** A transaction that came before: its time, and its place in the log. */
export interface First {
  time: EpochMs
  place: number
}

/**
 * The newest transaction of a slot with this id, undefined when there is none in the rings.
 *
 * @param time that of the transaction; undefined: any.
 */
export function firstIn(
  { payments, refunds }: Rings,
  slot: number,
  time: EpochMs | undefined,
  low: number,
  high: number,
): First | undefined {
  if (time !== undefined && time > payments.clock.at(slot)) return undefined
  return newestIn(payments.rings, slot, time, low, high) ?? (refunds && newestIn(refunds.rings, slot, time, low, high))
}

function newestIn(
  rings: EventRings,
  slot: number,
  time: EpochMs | undefined,
  low: number,
  high: number,
): First | undefined {
  const end = time === undefined ? rings.next(slot) : rings.after(slot, time)
  for (let s = end - 1; s >= rings.first(slot); s--) {
    const p = rings.position(slot, s)
    if (time !== undefined && rings.time[p] !== time) return undefined
    if (rings.idHash[p] !== low || rings.idHigh[p] !== high) continue
    return { time: rings.time[p], place: rings.places ? rings.place[p] : NO_PLACE }
  }
  return undefined
}
