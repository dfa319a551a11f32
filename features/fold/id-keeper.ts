import { emptyBatch, type DurationMs, type EpochMs, type EventBatch } from '../../datasets/table/transaction.ts'
import { Growing } from '../window/growing.ts'
import { NO_PLACE } from '../window/log-place.ts'
import { IdHashes } from './id-hash.ts'
import { firstIn, foldOf, RingCopy, type First } from './ring-copy.ts'
import { NO_SLOT } from './slots.ts'
import type { ViewFold } from './view-fold.ts'

/** A view that keeps ids. */
export interface IdView {
  view: ViewFold
  /** Where a transaction that comes twice comes at another time: how much later at most. Default: it has its time. */
  later?: DurationMs | undefined
}

/** What a view makes of a batch: the slots of its rows' keys, as `ViewFold.resolve` gives them, and its rows' ids. */
export interface IdRows {
  slots: Uint32Array
  hashes: IdHashes
}

const NO_EVENTS = emptyBatch({ id: 'integer', entities: [], numeric: 0, categorical: 0 }, 0)

/**
 * Says of the rows of a batch, in their order and before any of them is folded, what the rings of a view that keeps ids
 * would say if all rows before had been folded. So no answer depends on where a batch begins or ends.
 *
 * The first one is in the ring, or among the rows of its key before it, of which there is a list. Mostly it is so young
 * that the ring still has it after these rows. Where the ring may let it go on their way, they are put into a copy of
 * the ring, and that is asked.
 */
export class IdKeeper {
  readonly #view: ViewFold
  readonly #later: DurationMs | undefined
  #batch = NO_EVENTS
  #slots: Uint32Array = new Uint32Array(0)
  #hashes = new IdHashes()
  #places: Float64Array | undefined
  /** By slot: 1 + the last row of the batch that was added, 0 when none was. All 0 between two batches. */
  readonly #last = new Growing(Uint32Array)
  /** By row that was added: the row of its key before it, the key's clock after it, and how many rows the key has. */
  #previous = new Int32Array(64)
  #clock = new Float64Array(64)
  #count = new Uint32Array(64)
  /** By slot, where one was needed. */
  readonly #copies = new Map<number, RingCopy>()

  constructor({ view, later }: IdView) {
    this.#view = view
    this.#later = later
  }

  /**
   * Begins a batch.
   *
   * @param places where the rows stand in the log, as `packPlace` gives it.
   */
  open(batch: EventBatch, { slots, hashes }: IdRows, places?: Float64Array): void {
    this.#batch = batch
    this.#slots = slots
    this.#hashes = hashes
    this.#places = places
    this.#last.grow(this.#view.keys)
    if (this.#previous.length >= batch.size) return
    this.#previous = new Int32Array(batch.size)
    this.#clock = new Float64Array(batch.size)
    this.#count = new Uint32Array(batch.size)
  }

  /** Whether a row is younger than all of its key before it. So no first one was there, and none was let go. */
  isNewest(row: number): boolean {
    const slot = this.#slots[row]
    return slot !== NO_SLOT && this.#later === undefined && this.#batch.time[row] > this.#clockAt(slot)
  }

  /**
   * The place of the first transaction with the key, time and id of a row, undefined when none is held any more.
   * Whichever kind it is now: a payment that comes again as a refund is the same transaction. A row without a key has
   * no first one.
   */
  first(row: number): number | undefined {
    const slot = this.#slots[row]
    if (slot === NO_SLOT) return undefined
    const newest = this.#last.array[slot] - 1
    let first = this.#inBatch(row, newest) ?? this.#inRings(this.#view, slot, row)
    if (first !== undefined && this.#mayLack(slot, first.time, newest))
      first = this.#inRings(this.#copy(slot, newest), 0, row)
    return first !== undefined && this.#isBefore(first.time, row) ? first.place : undefined
  }

  /** Whether a transaction of a row's key and time may have been let go. Of rows without a key none was ever held. */
  forgets(row: number): boolean {
    const slot = this.#slots[row]
    if (slot === NO_SLOT) return true
    const { time, amount } = this.#batch
    const newest = this.#last.array[slot] - 1
    if (!this.#mayLack(slot, time[row], newest))
      return foldOf(this.#view, amount[row]).retention.forgets(slot, time[row])
    return foldOf(this.#copy(slot, newest), amount[row]).retention.forgets(0, time[row])
  }

  /** Takes a row that is no repeat as folded. */
  add(row: number): void {
    const slot = this.#slots[row]
    if (slot === NO_SLOT) return
    const last = this.#last.array
    const earlier = last[slot] - 1
    this.#clock[row] = Math.max(this.#clockAt(slot), this.#batch.time[row])
    this.#count[row] = earlier < 0 ? 1 : this.#count[earlier] + 1
    this.#previous[row] = earlier
    last[slot] = row + 1
  }

  /** Ends the batch. */
  close(): void {
    const last = this.#last.array
    const slots = this.#slots
    for (let row = 0; row < this.#batch.size; row++) if (slots[row] !== NO_SLOT) last[slots[row]] = 0
    this.#batch = NO_EVENTS
    this.#copies.clear()
  }

  /** The clock of a slot after the rows that were added. */
  #clockAt(slot: number): EpochMs {
    const newest = this.#last.array[slot] - 1
    return newest < 0 ? this.#view.payments.clock.at(slot) : this.#clock[newest]
  }

  /** Whether the first one of a row that was found may be of this time. */
  #isBefore(time: EpochMs, row: number): boolean {
    return time >= this.#batch.time[row] - (this.#later ?? 0)
  }

  /** The row with the time and id of this one, among those of its key up to `newest` (−1: none). */
  #inBatch(row: number, newest: number): First | undefined {
    const { time } = this.#batch
    const { low, high } = this.#hashes
    const anyTime = this.#later !== undefined
    for (let earlier = newest; earlier >= 0; earlier = this.#previous[earlier]) {
      if (low[earlier] === low[row] && high[earlier] === high[row] && (anyTime || time[earlier] === time[row]))
        return { time: time[earlier], place: this.#places?.[earlier] ?? NO_PLACE }
    }
    return undefined
  }

  #inRings(rings: ViewFold | RingCopy, slot: number, row: number): First | undefined {
    const { low, high } = this.#hashes
    return firstIn(rings, slot, this.#later === undefined ? this.#batch.time[row] : undefined, low[row], high[row])
  }

  /** Whether the rows of a slot up to `last` (−1: none) may take an event of time t out of a ring that has it now. */
  #mayLack(slot: number, t: EpochMs, last: number): boolean {
    if (last < 0) return false
    const { payments, refunds } = this.#view
    const [clock, count] = [this.#clock[last], this.#count[last]]
    return (
      payments.retention.mayLack(slot, t, clock, count) || refunds?.retention.mayLack(slot, t, clock, count) === true
    )
  }

  /** A copy of a slot's rings with the rows of the batch up to `last`. */
  #copy(slot: number, last: number): RingCopy {
    const copy = this.#copies.get(slot) ?? new RingCopy(this.#view, slot)
    this.#copies.set(slot, copy)
    const rows: number[] = []
    for (let row = last; row > copy.newest; row = this.#previous[row]) rows.push(row)
    for (const row of rows.reverse()) copy.fold(this.#batch, this.#hashes, row, this.#places?.[row] ?? NO_PLACE)
    return copy
  }
}
