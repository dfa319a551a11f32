import { HOUR, type EpochMs } from '../../datasets/table/transaction.ts'
import type { Dictionary } from '../window/dictionary.ts'
import { NO_PLACE } from '../window/log-place.ts'
import { NO_COLUMNS, type RowColumns } from '../window/ring-columns.ts'
import { EventRings } from '../window/ring.ts'
import { SlotTimes } from '../window/slot-times.ts'
import { NO_WINDOWS, type WindowPlan } from '../window/window-plan.ts'
import { NOT_COUNTED, NOT_KNOWN } from '../window/window-scan.ts'
import { Windows } from '../window/windows.ts'
import type { FoldSettings } from './fold-settings.ts'
import { Retention } from './retention.ts'

/** What `fold` says of a transaction, as bits: it came later than allowed; its windows lack what was pushed out. */
export const LATE = 1
export const TRUNCATED = 2

/** How one kind of events is folded. */
export interface EventFoldSettings extends Omit<FoldSettings, 'ids' | 'refunds' | 'columns'> {
  plan: WindowPlan
  includesCurrent: boolean
  /** The most events one ring holds, a power of two. */
  maxEvents: number
  /** The dataset's own columns that its events have. Default: none. */
  row?: RowColumns
  /** The values behind the codes of these. */
  dictionaries?: readonly Dictionary[]
  /** Whether the ring itself tells that an event comes twice. For kinds that no memory of ids covers. */
  once?: boolean
}

/**
 * The fold of one kind of events, payments or refunds, over the keys of a view. A key is a slot here: its events in a
 * ring (`ring.ts`), two bounds and two sums per window (`windows.ts`), and the clock, which is the time of its newest
 * transaction of either kind.
 *
 * Order: the log decides what an event may see, event time decides which windows it falls into. An event at or after
 * the clock takes the fast path, `#inOrder`. An older one goes into the ring where its time belongs, and its features
 * are summed afresh over its own windows: `#outOfOrder`, which carries the derivation. A transaction of the other kind
 * moves the clock and finds its features in the same way, and leaves nothing in the ring.
 *
 * Lateness: a ring reaches back over the longest window plus the allowed lateness. A transaction later than that is
 * folded with the events that are still there. A ring holds `maxEvents`. One more pushes out the oldest.
 *
 * Exact: all features of every transaction that is neither late nor truncated. Sums run over whole minor units and
 * become floats in one place only (`evaluate`), so a value does not depend on the path that led to it, a restart
 * included.
 */
export class EventFold {
  readonly rings: EventRings
  readonly windows: Windows
  /** Event time of the newest transaction of a slot. */
  readonly clock = new SlotTimes()
  /** Event time of the newest event that a slot's full ring has pushed out. */
  readonly pushedOut = new SlotTimes()
  /** How long events stay. */
  readonly retention: Retention
  /** Event time of the oldest event that a slot ever had; Infinity before the first. */
  readonly oldest = new SlotTimes(Infinity)
  /** The dataset's own columns, and the row that is folded next. */
  readonly row: RowColumns
  /** Where the transaction that is folded next stands in the log, as `packPlace` gives it. */
  place = NO_PLACE

  readonly #plan: WindowPlan
  readonly #includesCurrent: boolean
  readonly #once: boolean
  /** Whether events have columns of the dataset's own, or are remembered beyond the windows. */
  readonly #fills: boolean
  /** The halves of the id at hand. */
  #idHash = 0
  #idHigh = 0

  constructor(settings: EventFoldSettings) {
    const { plan, includesCurrent, kept = 0, keptLast = 0, lateness = HOUR, maxEvents, scale } = settings
    this.#plan = plan
    this.#includesCurrent = includesCurrent
    this.row = settings.row ?? NO_COLUMNS
    this.#once = settings.once === true
    this.#fills = plan.aggregators.length > 0
    this.rings = new EventRings(plan.columns, maxEvents, settings.dictionaries)
    this.retention = new Retention(this, {
      lateness,
      kept: Math.max(plan.span, kept),
      spare: Math.max(plan.mostLast, keptLast),
    })
    this.windows = new Windows(plan, this.rings, scale, this.row)
  }

  /** Adds a slot, the next higher number, to all columns alike. */
  addSlot(): number {
    const slot = this.rings.addSlot()
    if (slot < this.clock.room) return slot
    this.clock.grow(slot + 1)
    this.pushedOut.grow(this.clock.room)
    this.oldest.grow(this.clock.room)
    this.windows.grow(this.clock.room)
    return slot
  }

  /** A fold without windows that has a slot's events as its slot 0, and keeps and drops what this one would. */
  shadow(slot: number): EventFold {
    const copy = new EventFold({
      plan: NO_WINDOWS,
      includesCurrent: this.#includesCurrent,
      kept: this.retention.kept,
      keptLast: this.retention.spare,
      lateness: this.retention.lateness,
      maxEvents: this.rings.maxEvents,
      scale: 1,
    })
    copy.addSlot()
    copy.clock.set(0, this.clock.at(slot))
    copy.pushedOut.set(0, this.pushedOut.at(slot))
    copy.rings.take(this.rings, slot)
    return copy
  }

  /** Sets the id of the transaction that is folded next; 0 where rings keep none. */
  setId(idHash: number, idHigh: number): void {
    this.#idHash = idHash
    this.#idHigh = idHigh
  }

  /**
   * Folds a transaction at time t and writes its features to `out[at …]`. Returns `LATE` and `TRUNCATED` as they are
   * the case.
   *
   * @param own whether it is an event of this fold.
   */
  fold(slot: number, t: EpochMs, own: boolean, amount: number, out: Float64Array, at: number): number {
    let flags = 0
    // Windows that reach back to what was pushed out miss it; those by count only for an event out of order. A view
    // without the current transaction pushes out after its features.
    let reach = this.#plan.span
    let pushedOut = this.pushedOut.at(slot)
    if (t >= this.clock.at(slot)) {
      this.#inOrder(slot, t, own, amount, out, at)
    } else {
      if (this.rings.after(slot, t) - this.rings.first(slot) < this.#plan.mostLast) reach = Infinity
      if (this.#outOfOrder(slot, t, own, amount, out, at)) flags = LATE
    }
    if (this.#includesCurrent) pushedOut = this.pushedOut.at(slot)
    return pushedOut > t - reach ? flags | TRUNCATED : flags
  }

  /**
   * Writes what a transaction at time t would find to `out[at …]`, itself not counted. Returns `TRUNCATED` or 0.
   *
   * @param known whether its own columns are at hand (`row`).
   */
  peek(slot: number, t: EpochMs, out: Float64Array, at = 0, known = false): number {
    const end = this.rings.after(slot, t)
    this.#since(slot, end, t)
    this.windows.scan(slot, t, end, known ? NOT_COUNTED : NOT_KNOWN, out, at)
    const few = t < this.clock.at(slot) && end - this.rings.first(slot) < this.#plan.mostLast
    return this.pushedOut.at(slot) > t - (few ? Infinity : this.#plan.span) ? TRUNCATED : 0
  }

  /**
   * Folds an event at or after the clock: it goes to the young end of the ring, and the windows move on to its time.
   * Amortised O(windows + features). The event is written before the windows move if it counts itself, else after. One
   * that is not `own` is not written: the windows only move on.
   */
  #inOrder(slot: number, t: EpochMs, own: boolean, amount: number, out: Float64Array, at: number): void {
    const { rings, windows } = this
    this.#since(slot, rings.next(slot), t)
    const current = this.#includesCurrent
    this.clock.set(slot, t)
    if (own && current) this.#write(slot, rings.next(slot), t, amount)
    windows.advance(slot, t)
    windows.emit(slot, own && current, out, at)
    if (own && !current) this.#write(slot, rings.next(slot), t, amount)
    this.#trim(slot)
  }

  /**
   * Folds an event of time t before the clock c. Returns whether it was later than the allowed lateness L.
   *
   * The derivation, given before the code as in Chronon's SawtoothAggregator. (There a window's old end moves in hops.
   * Here it moves event by event, so nothing is approximate.) A window by time has end = c − delay and
   * start = end − length. A window by count holds the last n events up to end = c. With bound = c − kept − L, where
   * kept is at least the longest length + delay, and spare at least the longest n, these invariants hold between any
   * two events:
   *
   * - Order: times never fall from `first` to `next`. Events of one time stand in log order.
   * - Sums: first ≤ leave ≤ enter ≤ next. `sum` and `frauds`, where they are read, are those of [leave, enter).
   * - Bounds: events below `enter` are not later than end, those from `enter` on are later. Events below `leave` are
   *   not later than start, or have n events behind them below `enter`; those from `leave` on are neither. One
   *   exception: a view without the current transaction writes its newest event after the windows moved, so with delay
   *   0 that one event (time c) still waits at `enter`.
   * - Reach: the ring holds every folded event at or after bound. Of those before it, it holds the youngest `spare`
   *   and all of the same time as the oldest of these. A full ring has pushed some out, which no window holds.
   *
   * INSERT puts the event at `place`, the first event later than t. Everything before `place` is at most t, so Order
   * still holds, and the event follows all others of its time, as in the log. Events from `place` on get the next
   * higher number, so `enter` and `leave` may now be one too low. Cost: a binary search, and one copy for each event
   * younger than t; a full ring also moves, which is amortised O(1).
   *
   * SHIFT (`inserted`) mends the bounds. Each window has one of three cases:
   *
   * - place < leave: the new event stands before one that has left, so it is outside too. It is earlier than an event
   *   not later than start, or the n events of the window follow it. Both bounds go up by one. The sums stay.
   * - leave ≤ place < enter: the new event stands before one that has come in, so t < end. `enter` goes up by one and
   *   the amount is added. A new event is no known fraud, so `frauds` stays.
   * - enter ≤ place: both bounds lie at or below `place`. Nothing changes.
   *
   * Afterwards [leave, enter) holds what it held, with or without the new event, and Sums is true again. The bounds may
   * still be too low, never too high: the new event may wait at `enter` though it is not later than end, it may stand
   * at `leave` though it is not later than start, or a window by count may hold n + 1. Cost: O(windows).
   *
   * ADVANCE to the unchanged clock moves `enter` over all events up to end, then `leave` over all that are not later
   * than start, or that are more than n. Times never fall, so both stop exactly where Bounds wants them, the exception
   * included: every window by time is the sum over (c − length − delay, c − delay], every window by count the sum
   * over the last n events up to c. Amounts are whole minor units, so these sums are the very bits that events in order
   * of time would have given. Cost: amortised O(1) a window, since an event enters and leaves it once.
   *
   * TRIM drops the oldest events, all of one time, as long as `spare` events of a later time are before bound. So what
   * was dropped is known by its time: it is earlier than all that is kept. It is before bound ≤ start. At least
   * n ≤ `spare` events follow it that are before bound ≤ c, so they have come in. It is thus below `leave` of every
   * window: no sum changes, and first ≤ leave holds. ADVANCE must come first, since a very late event may wait at
   * `enter` of a delayed window, which TRIM would leave below `first`. Afterwards Reach is true. Cost: amortised O(1).
   *
   * The row's own features are not these sums, which stand at c. `scan` finds those of (t − length − delay, t −
   * delay], before INSERT up to `place`, or after SHIFT up to the event itself where the view counts it. For t ≥ c
   * − L these windows begin at or after bound, and n ≤ `spare`, so by Reach nothing is missing; for an earlier t
   * something may be. Cost of a window: two binary searches, and its events or those between its two ends at t and c,
   * if fewer.
   */
  #outOfOrder(slot: number, t: EpochMs, own: boolean, amount: number, out: Float64Array, at: number): boolean {
    const place = this.rings.after(slot, t)
    this.#since(slot, place, t)
    const current = this.#includesCurrent
    const late = t < this.clock.at(slot) - this.retention.lateness
    const counts = own && !(this.#once && this.#isThere(slot, t))
    if (!counts || !current) this.windows.scan(slot, t, place, NOT_COUNTED, out, at)
    if (!counts) return late
    const sequence = this.#write(slot, place, t, amount)
    this.windows.inserted(slot, sequence, amount, t < this.retention.bound(slot))
    if (current) this.windows.scan(slot, t, sequence + 1, sequence, out, at)
    // Every window must pass the new event before the ring may drop it.
    this.windows.advance(slot, this.clock.at(slot))
    this.#trim(slot)
    return late
  }

  /** Sets the seconds to time t from the event before `place`, and from the first of all. */
  #since(slot: number, place: number, t: EpochMs): void {
    const { rings, windows } = this
    if (this.#plan.previous) {
      const last = place - 1
      windows.sincePrevious = last < rings.first(slot) ? -1 : (t - rings.time[rings.position(slot, last)]) / 1000
    }
    if (!this.#plan.first) return
    const oldest = this.oldest.at(slot)
    windows.sinceFirst = oldest <= t ? (t - oldest) / 1000 : -1
  }

  /** Whether the ring has the event at hand. */
  #isThere(slot: number, t: EpochMs): boolean {
    const { rings } = this
    for (let s = rings.after(slot, t) - 1; s >= rings.first(slot); s--) {
      const p = rings.position(slot, s)
      if (rings.time[p] !== t) return false
      if (rings.idHash[p] === this.#idHash && rings.idHigh[p] === this.#idHigh) return true
    }
    return false
  }

  /** Drops the events that no window can reach any more. */
  #trim(slot: number): void {
    const oldest = this.retention.oldest(slot)
    if (oldest === this.rings.first(slot)) return
    if (this.#plan.hasEver) this.windows.dropping(slot, oldest)
    this.rings.drop(slot, oldest)
  }

  /** Puts an event into the ring at sequence `place`; events from there on move up by one. Returns its own. */
  #write(slot: number, place: number, t: EpochMs, amount: number): number {
    const { rings } = this
    if (!rings.roomFor(slot)) this.#pushOut(slot)
    const at = Math.max(place, rings.first(slot))
    const position = rings.put(slot, at, t, amount, this.#idHash, this.#idHigh)
    if (rings.places) rings.place[position] = this.place
    if (this.#plan.first && t < this.oldest.at(slot)) this.oldest.set(slot, t)
    if (this.#fills) {
      rings.fill(position, this.row)
      this.windows.written(slot, at)
    }
    return at
  }

  /** Drops the oldest event of a full ring, from the windows that still hold it too. */
  #pushOut(slot: number): void {
    const oldest = this.rings.first(slot)
    this.windows.pushedOut(slot, oldest)
    const time = this.rings.time[this.rings.position(slot, oldest)]
    this.pushedOut.set(slot, Math.max(this.pushedOut.at(slot), time))
    this.rings.drop(slot, oldest + 1)
  }
}
