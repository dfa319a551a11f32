import type { DurationMs, EpochMs } from '../../datasets/table/transaction.ts'
import type { EventRings } from '../window/ring.ts'
import type { SlotTimes } from '../window/slot-times.ts'

/** What the rules are about. */
interface Events {
  rings: EventRings
  clock: SlotTimes
  pushedOut: SlotTimes
}

/** How far back rings reach. */
interface Limits {
  /** How far an event may lie behind the clock and still be folded exactly. */
  lateness: DurationMs
  /** The longest window by time, or more. */
  kept: DurationMs
  /** How many events from before all windows by time are kept. */
  spare: number
}

/** Which events stay in the ring of a slot: the rules `Reach` and TRIM of `EventFold`, and what follows from them. */
export class Retention {
  readonly lateness: DurationMs
  readonly kept: DurationMs
  readonly spare: number
  readonly #of: Events

  constructor(of: Events, { lateness, kept, spare }: Limits) {
    this.#of = of
    this.lateness = lateness
    this.kept = kept
    this.spare = spare
  }

  /**
   * Events before this time do not stay in the ring of a slot when they come, and none that came is still there;
   * −Infinity where any would stay. One exception: a full ring pushes out a younger event for one that is older than
   * all it has. That one stays until the next comes, and only rows that are flagged as truncated see it.
   */
  reach(slot: number): EpochMs {
    return Math.max(this.#oldestKept(slot), this.#of.pushedOut.at(slot))
  }

  /** Whether the ring of a slot may have let an event of time t go, or let it go when it comes. */
  forgets(slot: number, t: EpochMs): boolean {
    return t <= this.#of.pushedOut.at(slot) || t < this.#oldestKept(slot)
  }

  /**
   * Whether the ring of a slot may lack an event of time t, or hold it no longer, once the slot's clock stands at
   * `clock` and `more` events have come. Where it says no, the ring has every such event that came.
   */
  mayLack(slot: number, t: EpochMs, clock: EpochMs, more: number): boolean {
    if (t < clock - this.kept - this.lateness || t <= this.#of.pushedOut.at(slot)) return true
    const { rings } = this.#of
    const events = rings.next(slot) - rings.first(slot)
    // So many at most were pushed out, each the oldest of its moment, so none is younger than as many oldest ones now.
    const over = events + more - rings.maxEvents
    if (over <= 0) return false
    return over > events || t <= rings.time[rings.position(slot, rings.first(slot) + over - 1)]
  }

  /** Before this time TRIM leaves no event; −Infinity while it leaves any. */
  #oldestKept(slot: number): EpochMs {
    const bound = this.bound(slot)
    if (this.spare === 0) return bound
    const oldest = this.#of.rings.after(slot, bound - 1) - this.spare
    return oldest < this.#of.rings.first(slot) ? -Infinity : this.#of.rings.time[this.#of.rings.position(slot, oldest)]
  }

  /** Where the longest window of an event as late as is allowed begins. */
  bound(slot: number): EpochMs {
    return this.#of.clock.at(slot) - this.kept - this.lateness
  }

  /** The oldest event that stays: no window reaches one before it, not even that of an event as late as allowed. */
  oldest(slot: number): number {
    const { rings } = this.#of
    const { time } = rings
    const next = rings.next(slot)
    const bound = this.bound(slot)
    const spare = this.spare
    let oldest = rings.first(slot)
    while (oldest + spare < next && time[rings.position(slot, oldest + spare)] < bound) {
      const t = time[rings.position(slot, oldest)]
      const alone = spare === 0 || time[rings.position(slot, oldest + 1)] > t
      const younger = alone ? oldest + 1 : rings.after(slot, t)
      if (younger + spare > next || time[rings.position(slot, younger + spare - 1)] >= bound) break
      oldest = younger
    }
    return oldest
  }
}
