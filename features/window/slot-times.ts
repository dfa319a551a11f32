import type { EpochMs } from '../../datasets/table/transaction.ts'
import { Growing } from './growing.ts'

/** A time for each slot of a view, −Infinity until it is set, or what else it begins with. */
export class SlotTimes {
  readonly #room = new Growing(Float64Array)
  readonly #initial: EpochMs
  #times: Float64Array
  /** Whether any was set. Most views never push out an event, and need not look at each slot. */
  #isSet = false

  constructor(initial = -Infinity) {
    this.#initial = initial
    this.#times = this.#room.array.fill(initial)
  }

  /** How many slots there is room for. */
  get room(): number {
    return this.#times.length
  }

  at(slot: number): EpochMs {
    return this.#isSet ? this.#times[slot] : this.#initial
  }

  set(slot: number, time: EpochMs): void {
    if (!this.#isSet && time === this.#initial) return
    this.#isSet = true
    this.#times[slot] = time
  }

  /** Makes room for so many slots. */
  grow(slots: number): void {
    const before = this.#times.length
    this.#times = this.#room.grow(slots).fill(this.#initial, before)
  }
}
