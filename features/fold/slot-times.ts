import type { EpochMs } from '../../datasets/table/transaction.ts'
import { Growing } from './growing.ts'

/** A time for each slot of a view, −Infinity until it is set. */
export class SlotTimes {
  readonly #room = new Growing(Float64Array)
  #times = this.#room.array.fill(-Infinity)

  /** How many slots there is room for. */
  get room(): number {
    return this.#times.length
  }

  at(slot: number): EpochMs {
    return this.#times[slot]
  }

  set(slot: number, time: EpochMs): void {
    this.#times[slot] = time
  }

  /** Makes room for so many slots. */
  grow(slots: number): void {
    const before = this.#times.length
    this.#times = this.#room.grow(slots).fill(-Infinity, before)
  }
}
