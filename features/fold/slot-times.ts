import type { EpochMs } from '../../datasets/table/transaction.ts'

/** A time for each slot of a view, −Infinity until it is set. */
export class SlotTimes {
  #times = new Float64Array(64).fill(-Infinity)

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
  widen(slots: number): void {
    const times = this.#times
    this.#times = new Float64Array(slots).fill(-Infinity)
    this.#times.set(times)
  }
}
