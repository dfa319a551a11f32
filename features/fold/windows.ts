import type { EpochMs } from '../../datasets/table/transaction.ts'
import { Growing } from './growing.ts'
import type { EventRings } from './ring.ts'
import { evaluate, type WindowPlan } from './window-plan.ts'

/**
 * The windows of a view over the rings of its keys.
 *
 * For each key (slot) and window it keeps two sequence numbers and the sums of the events between them. Events below
 * `enter` have come into the window, events below `leave` have left it again. A delayed window ends before the clock,
 * so its `enter` trails behind the young end of the ring.
 *
 * Moving a window to a later time adds each event once and takes it out once: amortised O(1) an event. A window never
 * goes back. Features at an earlier time are summed afresh by `scan`, which leaves bounds and sums alone.
 *
 * Amounts are whole minor units, so a sum is exact (below 2^53) and does not depend on the order of its additions and
 * subtractions.
 */
export class Windows {
  readonly #plan: WindowPlan
  readonly #rings: EventRings
  readonly #scale: number
  /** The room behind the columns below, in which each slot has an element for every window. */
  readonly #room = {
    enter: new Growing(Uint32Array),
    leave: new Growing(Uint32Array),
    sum: new Growing(Float64Array),
    frauds: new Growing(Uint32Array),
  }
  #enter = this.#room.enter.array
  #leave = this.#room.leave.array
  #sum = this.#room.sum.array
  #frauds = this.#room.frauds.array
  /** Sums of a part of a ring, while it is added up. */
  #sumOfPart = 0
  #fraudsOfPart = 0
  /** By window: what `scan` found. */
  readonly #scanned: { counts: Float64Array; sums: Float64Array; frauds: Float64Array }

  constructor(plan: WindowPlan, rings: EventRings, scale: number) {
    this.#plan = plan
    this.#rings = rings
    this.#scale = scale
    const windows = plan.delays.length
    this.#scanned = {
      counts: new Float64Array(windows),
      sums: new Float64Array(windows),
      frauds: new Float64Array(windows),
    }
    this.grow(64)
  }

  /** Number of distinct windows. */
  get count(): number {
    return this.#plan.delays.length
  }

  /** Makes room for `slots` keys. */
  grow(slots: number): void {
    const width = slots * this.#plan.delays.length
    this.#enter = this.#room.enter.grow(width)
    this.#leave = this.#room.leave.grow(width)
    this.#sum = this.#room.sum.grow(width)
    this.#frauds = this.#room.frauds.grow(width)
  }

  /** Moves every window of a slot on to event time t, which must not be earlier than at the last call. */
  advance(slot: number, t: EpochMs): void {
    const { delays, lengths, lasts } = this.#plan
    const { time, amount, fraud, columns } = this.#rings
    const base = this.#rings.base[slot]
    const mask = this.#rings.mask[slot]
    const next = this.#rings.next[slot]
    for (let w = 0, i = slot * delays.length; w < delays.length; w++, i++) {
      const end = t - delays[w]
      const start = end - lengths[w]
      let enter = this.#enter[i]
      let leave = this.#leave[i]
      let sum = this.#sum[i]
      let frauds = this.#frauds[i]
      for (; enter < next; enter++) {
        const p = base + (enter & mask)
        if (time[p] > end) break
        if (columns.amount) sum += amount[p]
        if (columns.label) frauds += fraud[p]
      }
      for (; leave < enter; leave++) {
        const p = base + (leave & mask)
        if (time[p] > start && enter - leave <= lasts[w]) break
        if (columns.amount) sum -= amount[p]
        if (columns.label) frauds -= fraud[p]
      }
      this.#enter[i] = enter
      this.#leave[i] = leave
      this.#sum[i] = sum
      this.#frauds[i] = frauds
    }
  }

  /** Writes the features of a slot to `out[at …]`, for the time to which `advance` brought its windows. */
  emit(slot: number, sincePrevious: number, out: Float64Array, at: number): void {
    const { functions, windowOf } = this.#plan
    const first = slot * this.#plan.delays.length
    for (let f = 0; f < functions.length; f++) {
      const i = first + windowOf[f]
      out[at + f] = evaluate(
        this.#plan,
        f,
        this.#enter[i] - this.#leave[i],
        this.#sum[i],
        this.#frauds[i],
        sincePrevious,
        this.#scale,
      )
    }
  }

  /**
   * Writes the features at event time t to `out[at …]`. Serves events out of order and lookups. Events below sequence
   * `end` are visible. `sincePrevious` is as in `emit`. Bounds and sums stay as they are.
   *
   * A window at t differs from the one at the clock by the events between their two ends. Their amounts are added to
   * the sum that is known, or taken from it, unless the window itself has fewer events. So an event of a busy key that
   * comes a little late costs what has come since, and not its whole window. The sums are whole, so either way gives
   * the same.
   */
  scan(slot: number, t: EpochMs, end: number, sincePrevious: number, out: Float64Array, at: number): void {
    const { delays, lengths, lasts, functions, windowOf } = this.#plan
    const first = slot * delays.length
    const { counts, sums, frauds } = this.#scanned
    for (let w = 0; w < delays.length; w++) {
      const to = Math.min(end, this.#rings.after(slot, t - delays[w]))
      const from = Math.max(this.#rings.after(slot, t - delays[w] - lengths[w]), to - lasts[w])
      this.#total(slot, first + w, from, to)
      counts[w] = Math.max(0, to - from)
      sums[w] = this.#sumOfPart
      frauds[w] = this.#fraudsOfPart
    }
    for (let f = 0; f < functions.length; f++) {
      const w = windowOf[f]
      out[at + f] = evaluate(this.#plan, f, counts[w], sums[w], frauds[w], sincePrevious, this.#scale)
    }
  }

  /**
   * Tells the windows that an event, not known as fraud, was put in at sequence `place`. Bounds beyond it move up by
   * one, and a window whose bounds now enclose the event counts it. `advance` must follow (see `EventFold`,
   * `#outOfOrder`).
   */
  inserted(slot: number, place: number, amount: number): void {
    const windows = this.#plan.delays.length
    for (let i = slot * windows; i < (slot + 1) * windows; i++) {
      if (place >= this.#enter[i]) continue
      this.#enter[i]++
      if (place < this.#leave[i]) this.#leave[i]++
      else this.#sum[i] += amount
    }
  }

  /** Tells the windows that the ring is about to drop its oldest event, `sequence`. Those that hold it lose it. */
  pushedOut(slot: number, sequence: number): void {
    const { amount, fraud, columns } = this.#rings
    const p = this.#rings.position(slot, sequence)
    const windows = this.#plan.delays.length
    for (let i = slot * windows; i < (slot + 1) * windows; i++) {
      if (this.#leave[i] > sequence) continue
      this.#leave[i]++
      // It may still wait to come in.
      if (this.#enter[i] === sequence) this.#enter[i]++
      else {
        if (columns.amount) this.#sum[i] -= amount[p]
        if (columns.label) this.#frauds[i] -= fraud[p]
      }
    }
  }

  /** Tells the windows that the event `sequence` has become known as fraud. */
  becameFraud(slot: number, sequence: number): void {
    const windows = this.#plan.delays.length
    for (let i = slot * windows; i < (slot + 1) * windows; i++) {
      if (sequence >= this.#leave[i] && sequence < this.#enter[i]) this.#frauds[i]++
    }
  }

  /** The bounds of a slot's windows, counted from the oldest event in the ring: enter, leave, enter, leave … */
  progress(slot: number): Uint32Array {
    const windows = this.#plan.delays.length
    const first = this.#rings.first[slot]
    const progress = new Uint32Array(windows * 2)
    for (let w = 0, i = slot * windows; w < windows; w++, i++) {
      progress[w * 2] = this.#enter[i] - first
      progress[w * 2 + 1] = this.#leave[i] - first
    }
    return progress
  }

  /**
   * The inverse of `progress`, for a ring that was refilled from sequence 0. Amounts are whole, so adding them up again
   * gives the same sums.
   */
  resume(slot: number, progress: Uint32Array): void {
    const windows = this.#plan.delays.length
    for (let w = 0, i = slot * windows; w < windows; w++, i++) {
      this.#enter[i] = progress[w * 2]
      this.#leave[i] = progress[w * 2 + 1]
      this.#start(0, 0)
      this.#add(slot, this.#leave[i], this.#enter[i])
      this.#sum[i] = this.#sumOfPart
      this.#frauds[i] = this.#fraudsOfPart
    }
  }

  /** The part from sequence `from` to below `to`: from the sums of window `i`, or afresh, whichever is less work. */
  #total(slot: number, i: number, from: number, to: number): void {
    const [leave, enter] = [this.#leave[i], this.#enter[i]]
    if (Math.abs(to - enter) + Math.abs(from - leave) < to - from) {
      this.#start(this.#sum[i], this.#frauds[i])
      this.#add(slot, enter, to)
      this.#add(slot, from, leave)
    } else {
      this.#start(0, 0)
      if (from < to) this.#add(slot, from, to)
    }
  }

  #start(sum: number, frauds: number): void {
    this.#sumOfPart = sum
    this.#fraudsOfPart = frauds
  }

  /** Adds the events from `from` to below `to` to the part. Where `to` is the lower one, takes those between away. */
  #add(slot: number, from: number, to: number): void {
    const { amount, fraud, columns } = this.#rings
    const sign = from <= to ? 1 : -1
    for (let s = Math.min(from, to); s < Math.max(from, to); s++) {
      const p = this.#rings.position(slot, s)
      if (columns.amount) this.#sumOfPart += sign * amount[p]
      if (columns.label) this.#fraudsOfPart += sign * fraud[p]
    }
  }
}
