import { FRAUD_LABEL, HOUR, type DurationMs, type EpochMs, type EventBatch } from '../../datasets/table/transaction.ts'
import type { AggregateView } from '../view/view.ts'
import { ChangedSlots } from './changed-slots.ts'
import type { FoldOutput, FoldPlace } from './fold-output.ts'
import type { FoldSettings } from './fold-settings.ts'
import { FraudLabels } from './fraud-labels.ts'
import { hashId, hashIdHigh } from './id-hash.ts'
import { KeyTable } from './key-table.ts'
import { EventRings } from './ring.ts'
import { SlotTimes } from './slot-times.ts'
import { findSlots, NO_SLOT } from './slots.ts'
import { planView, type WindowPlan } from './window-plan.ts'
import { Windows } from './windows.ts'

/**
 * The fold of one view: events in log order go in, the features of each transaction come out. It is the only
 * implementation of every windowed feature. Backfill and scorer both drive it over the same rows in the same order, so
 * their values are the same bits.
 *
 * State of one key (a slot): its recent events in a ring (`ring.ts`), two bounds and two sums per window
 * (`windows.ts`), the clock, which is the time of its newest event, fraud labels that came before their transaction
 * (`fraud-labels.ts`), and whether it has changed since the last checkpoint.
 *
 * Order: the log decides what an event may see, event time decides which windows it falls into. An event at or after
 * the clock takes the fast path, `#inOrder`. An older one goes into the ring where its time belongs, and its features
 * are summed afresh over its own windows: `#outOfOrder`, which carries the derivation.
 *
 * Lateness: a ring reaches back over the longest window plus the allowed lateness. A transaction later than that is
 * folded with the events that are still there. It is flagged and counted.
 *
 * Size: a ring holds `maxEvents`. One more pushes out the oldest. Rows whose windows reach back to it are flagged.
 *
 * Exact: all features of every other transaction. Sums run over whole minor units and become floats in one place only
 * (`evaluate`), so a value does not depend on the path that led to it, a restart included.
 */
export class ViewFold {
  readonly view: AggregateView
  readonly rings: EventRings
  readonly windows: Windows
  /** How many transactions came later than the allowed lateness. */
  late = 0
  readonly labels: FraudLabels

  readonly #plan: WindowPlan
  readonly #lateness: DurationMs
  readonly #keys = new KeyTable()
  /** Event time of the newest event of a slot. */
  readonly clock = new SlotTimes()
  /** Event time of the newest event that a slot's full ring has pushed out. */
  readonly pushedOut = new SlotTimes()
  readonly #changes = new ChangedSlots()
  /** The other half of the id whose hash is handed on. */
  #idHigh = 0

  constructor(view: AggregateView, settings: FoldSettings) {
    this.view = view
    this.#plan = planView(view, settings.ids)
    this.#lateness = settings.lateness ?? HOUR
    this.rings = new EventRings(this.#plan.columns, settings.maxEvents ?? 1 << 20)
    this.windows = new Windows(this.#plan, this.rings, settings.scale)
    this.labels = new FraudLabels(this.rings, this.windows)
  }

  get keys(): number {
    return this.#keys.size
  }

  slot(key: number | string): number | undefined {
    const slot = this.#keys.slot(key)
    return slot < 0 ? undefined : slot
  }

  key(slot: number): number | string {
    return this.#keys.key(slot)
  }

  /**
   * Writes the slot of each row's key to `slots` (`NO_SLOT` where it has none) and returns the keys seen for the first
   * time. The caller restores their stored state, if there is any, before it calls `fold`.
   */
  resolve(batch: EventBatch, entity: number, slots: Uint32Array): (number | string)[] {
    return findSlots(batch.entities[entity], batch.size, this.#keys, slots, (key) => this.addKey(key))
  }

  addKey(key: number | string): number {
    const slot = this.rings.addSlot()
    this.#keys.add(key)
    if (slot >= this.clock.room) this.#grow(slot + 1)
    return slot
  }

  /**
   * Folds a batch in row order, with the slots that `resolve` gave. The features of the k-th transaction (label rows do
   * not count) go to row k of `into`. `late[k]` becomes 1 when the transaction came later than allowed, and
   * `truncated[k]` gets the view's bit when its windows reach back to events that a full ring has pushed out. Features
   * of a row without a key are NaN.
   */
  fold(batch: EventBatch, slots: Uint32Array, into: FoldOutput, { column, stride, bit }: FoldPlace): void {
    const { kind, time, amount, ids } = batch
    const { label: labels, id: whole } = this.#plan.columns
    let k = 0
    for (let row = 0; row < batch.size; row++) {
      const slot = slots[row]
      const t = time[row]
      if (slot === NO_SLOT) {
        if (kind[row] === FRAUD_LABEL) continue
        const at = k++ * stride + column
        into.values.fill(Number.NaN, at, at + this.#plan.functions.length)
        continue
      }
      const idHash = labels || whole ? hashId(ids[row]) : 0
      if (whole) this.#idHigh = hashIdHigh(ids[row])
      if (kind[row] === FRAUD_LABEL) {
        if (labels && this.labels.fold(slot, t, idHash, this.#reach(slot))) this.#changes.mark(slot)
        continue
      }
      this.#changes.mark(slot)
      // Windows that reach back to what was pushed out miss it; those by count only for an event out of order. A view
      // without the current transaction pushes out after its features.
      let reach = this.#plan.span
      let pushedOut = this.pushedOut.at(slot)
      if (t >= this.clock.at(slot)) {
        this.#inOrder(slot, t, amount[row], idHash, into.values, k * stride + column)
      } else {
        if (this.rings.after(slot, t) - this.rings.first[slot] < this.#plan.mostLast) reach = Infinity
        if (this.#outOfOrder(slot, t, amount[row], idHash, into.values, k * stride + column)) {
          into.late[k] = 1
          this.late++
        }
      }
      if (this.view.includesCurrent) pushedOut = this.pushedOut.at(slot)
      if (pushedOut > t - reach) into.truncated[k] |= bit
      if (this.labels.holding > 0) this.labels.follow(slot, t, idHash, this.#reach(slot))
      k++
    }
  }

  /** The features that a transaction at `time` would find, itself not counted. Undefined when the key is unknown. */
  peek(key: number | string, time: EpochMs): Float64Array | undefined {
    const slot = this.#keys.slot(key)
    if (slot < 0) return undefined
    const out = new Float64Array(this.#plan.functions.length)
    const end = this.rings.after(slot, time)
    this.windows.scan(slot, time, end, this.#sincePrevious(slot, end, time), out, 0)
    return out
  }

  get changedKeys(): number {
    return this.#changes.count
  }

  /** The slots that changed since the last call, which is what a checkpoint has to write. */
  takeChanged(): Uint32Array {
    return this.#changes.take()
  }

  /**
   * Folds an event at or after the clock: it goes to the young end of the ring, and the windows move on to its time.
   * Amortised O(windows + features). The event is written before the windows move if it counts itself, else after.
   */
  #inOrder(slot: number, t: EpochMs, amount: number, idHash: number, out: Float64Array, at: number): void {
    const { rings, windows } = this
    const sincePrevious = this.#sincePrevious(slot, rings.next[slot], t)
    const current = this.view.includesCurrent
    this.clock.set(slot, t)
    if (current) this.#write(slot, rings.next[slot], t, amount, idHash)
    windows.advance(slot, t)
    windows.emit(slot, sincePrevious, out, at)
    if (!current) this.#write(slot, rings.next[slot], t, amount, idHash)
    this.#trim(slot)
  }

  /**
   * Folds an event of time t before the clock c. Returns whether it was later than the allowed lateness L.
   *
   * The derivation, given before the code as in Chronon's SawtoothAggregator. (There a window's old end moves in hops.
   * Here it moves event by event, so nothing is approximate.) A window by time has end = c − delay and
   * start = end − length. A window by count holds the last n events up to end = c. With bound = c − span − L,
   * these invariants hold between any two events:
   *
   * - Order: times never fall from `first` to `next`. Events of one time stand in log order.
   * - Sums: first ≤ leave ≤ enter ≤ next. `sum` and `frauds`, where they are read, are those of [leave, enter).
   * - Bounds: events below `enter` are not later than end, those from `enter` on are later. Events below `leave` are
   *   not later than start, or have n events behind them below `enter`; those from `leave` on are neither. One
   *   exception: a view without the current transaction writes its newest event after the windows moved, so with delay
   *   0 that one event (time c) still waits at `enter`.
   * - Reach: the ring holds every folded event at or after bound, and the youngest `mostLast` of those before it, but
   *   for those that a full ring has pushed out. No window holds these.
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
   * TRIM drops the oldest event as long as the one `mostLast` places after it is before bound. A dropped event is
   * before bound ≤ start. At least n ≤ `mostLast` events follow it that are before bound ≤ c, so they have come
   * in. It is thus below `leave` of every window: no sum changes, and first ≤ leave holds. ADVANCE must come first,
   * since a very late event may wait at `enter` of a delayed window, which TRIM would leave below `first`. Afterwards
   * Reach is true. Cost: amortised O(1).
   *
   * The row's own features are not these sums, which stand at c. `scan` finds those of (t − length − delay, t −
   * delay], before INSERT up to `place`, or after SHIFT up to the event itself where the view counts it. For t ≥ c
   * − L these windows begin at or after bound, and n ≤ `mostLast`, so by Reach nothing is missing; for an earlier t
   * something may be. Cost of a window: two binary searches, and its events or those between its two ends at t and c,
   * if fewer.
   */
  #outOfOrder(slot: number, t: EpochMs, amount: number, idHash: number, out: Float64Array, at: number): boolean {
    const place = this.rings.after(slot, t)
    const sincePrevious = this.#sincePrevious(slot, place, t)
    const current = this.view.includesCurrent
    if (!current) this.windows.scan(slot, t, place, sincePrevious, out, at)
    const sequence = this.#write(slot, place, t, amount, idHash)
    this.windows.inserted(slot, sequence, amount)
    if (current) this.windows.scan(slot, t, sequence + 1, sincePrevious, out, at)
    // Every window must pass the new event before the ring may drop it.
    this.windows.advance(slot, this.clock.at(slot))
    this.#trim(slot)
    return t < this.clock.at(slot) - this.#lateness
  }

  /** Seconds from the event before `place` to time t, −1 when there is none. */
  #sincePrevious(slot: number, place: number, t: EpochMs): number {
    return place > this.rings.first[slot] ? (t - this.rings.time[this.rings.position(slot, place - 1)]) / 1000 : -1
  }

  /** Events before this time are not in the ring of a slot, and do not stay in it when they come. */
  #reach(slot: number): EpochMs {
    return Math.max(this.#bound(slot), this.pushedOut.at(slot))
  }

  /** Where the longest window of an event as late as is allowed begins. */
  #bound(slot: number): EpochMs {
    return this.clock.at(slot) - this.#plan.span - this.#lateness
  }

  /** Drops the events that no window can reach any more, not even the window of an event as late as is allowed. */
  #trim(slot: number): void {
    const { time, next, first } = this.rings
    const bound = this.#bound(slot)
    const spare = this.#plan.mostLast
    let oldest = first[slot]
    while (oldest + spare < next[slot] && time[this.rings.position(slot, oldest + spare)] < bound) oldest++
    first[slot] = oldest
  }

  /** Puts an event into the ring at sequence `place`; events from there on move up by one. */
  #write(slot: number, place: number, t: EpochMs, amount: number, idHash: number): number {
    const rings = this.rings
    if (!rings.roomFor(slot)) this.#pushOut(slot)
    const at = Math.max(place, rings.first[slot])
    const position = at === rings.next[slot] ? rings.push(slot) : rings.insert(slot, at)
    rings.time[position] = t
    if (rings.columns.amount) rings.amount[position] = amount
    if (rings.columns.label) rings.fraud[position] = 0
    if (rings.columns.label || rings.columns.id) rings.idHash[position] = idHash
    if (rings.columns.id) rings.idHigh[position] = this.#idHigh
    return at
  }

  /** Drops the oldest event of a full ring, from the windows that still hold it too. */
  #pushOut(slot: number): void {
    const oldest = this.rings.first[slot]
    this.windows.pushedOut(slot, oldest)
    const time = this.rings.time[this.rings.position(slot, oldest)]
    this.pushedOut.set(slot, Math.max(this.pushedOut.at(slot), time))
    this.rings.first[slot] = oldest + 1
  }

  /** Makes room for at least so many slots, in all columns by slot alike. */
  #grow(slots: number): void {
    this.clock.grow(slots)
    this.pushedOut.grow(this.clock.room)
    this.#changes.grow(this.clock.room)
    this.windows.grow(this.clock.room)
  }
}
