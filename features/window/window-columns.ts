import type { Range } from './aggregator.ts'
import type { Aggregators } from './aggregators.ts'
import { Growing } from './growing.ts'
import type { EventRings } from './ring.ts'
import type { WindowPlan } from './window-plan.ts'

/** What the windows of a fold are made of. */
export interface WindowParts {
  plan: WindowPlan
  rings: EventRings
  aggregators: Aggregators
  columns: WindowColumns
  /** Minor units in one major unit. */
  scale: number
}

/** What is kept of a window, side by side, since it is read together. As whole numbers they are exact. */
export const ENTER = 0
export const LEAVE = 1
export const SUM = 2
export const FRAUDS = 3
/** How many there are. */
export const CELLS = 4

/**
 * Bounds and sums of windows. Each slot has `CELLS` cells for every window, from `(slot · windows + window) · CELLS`:
 *
 * - ENTER: events below this sequence have come into the window.
 * - LEAVE: events below this sequence have left it.
 * - SUM: the amounts of the events in the window.
 * - FRAUDS: how many of them are known as frauds.
 */
export class WindowColumns {
  cells: Float64Array
  /** How many events a window for ever counts that the ring has dropped, at `slot · windows + window`. */
  gone: Float64Array

  readonly #plan: WindowPlan
  readonly #cellRoom = new Growing(Float64Array)
  readonly #goneRoom = new Growing(Float64Array, 0)
  readonly #held: Range = { from: 0, to: 0 }

  constructor(plan: WindowPlan) {
    this.#plan = plan
    this.cells = this.#cellRoom.array
    this.gone = this.#goneRoom.array
  }

  /** Makes room for `slots` keys. */
  grow(slots: number): void {
    const width = slots * this.#plan.delays.length
    this.cells = this.#cellRoom.grow(width * CELLS)
    if (this.#plan.hasEver) this.gone = this.#goneRoom.grow(width)
  }

  /** The events of a window that are in the ring. Valid until the next call. */
  held(i: number): Range {
    this.#held.from = this.cells[i * CELLS + LEAVE]
    this.#held.to = this.cells[i * CELLS + ENTER]
    return this.#held
  }

  /** How many events a window counts that has those from `from` to below `to` of the ring. */
  count(i: number, from: number, to: number): number {
    return this.#plan.hasEver ? to - from + this.gone[i] : to - from
  }
}
