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

/**
 * Bounds and sums of windows. Each slot has a pair of both for every window, at `2 · (slot · windows + window)`. What
 * is read together lies side by side.
 */
export class WindowColumns {
  /** Events below the first sequence have come into the window, those below the second have left it. */
  bounds: Uint32Array
  /** The amounts of the events in the window, and how many of them are known as frauds. Whole numbers, so exact. */
  sums: Float64Array
  /** How many events a window for ever counts that the ring has dropped, at `slot · windows + window`. */
  gone: Float64Array

  readonly #plan: WindowPlan
  readonly #boundRoom = new Growing(Uint32Array)
  readonly #sumRoom = new Growing(Float64Array)
  readonly #goneRoom = new Growing(Float64Array, 0)
  readonly #held: Range = { from: 0, to: 0 }

  constructor(plan: WindowPlan) {
    this.#plan = plan
    this.bounds = this.#boundRoom.array
    this.sums = this.#sumRoom.array
    this.gone = this.#goneRoom.array
  }

  /** Makes room for `slots` keys. */
  grow(slots: number): void {
    const width = slots * this.#plan.delays.length
    this.bounds = this.#boundRoom.grow(width * 2)
    this.sums = this.#sumRoom.grow(width * 2)
    if (this.#plan.hasEver) this.gone = this.#goneRoom.grow(width)
  }

  /** The events of a window that are in the ring. Valid until the next call. */
  held(i: number): Range {
    this.#held.from = this.bounds[2 * i + 1]
    this.#held.to = this.bounds[2 * i]
    return this.#held
  }

  /** How many events a window counts that has those from `from` to below `to` of the ring. */
  count(i: number, from: number, to: number): number {
    return this.#plan.hasEver ? to - from + this.gone[i] : to - from
  }
}
