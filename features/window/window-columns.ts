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

/** Bounds and sums of windows. Each slot has an element for every window, at `slot · windows + window`. */
export class WindowColumns {
  /** Events below this sequence have come into the window. */
  enter: Uint32Array
  /** Events below this sequence have left it. */
  leave: Uint32Array
  /** Sum of the amounts of the events in the window. */
  sum: Float64Array
  /** How many of them are known as frauds. */
  frauds: Uint32Array
  /** How many events a window for ever counts that the ring has dropped. */
  gone: Float64Array

  readonly #plan: WindowPlan
  readonly #room = {
    enter: new Growing(Uint32Array),
    leave: new Growing(Uint32Array),
    sum: new Growing(Float64Array),
    frauds: new Growing(Uint32Array),
    gone: new Growing(Float64Array, 0),
  }
  readonly #held: Range = { from: 0, to: 0 }

  constructor(plan: WindowPlan) {
    this.#plan = plan
    this.enter = this.#room.enter.array
    this.leave = this.#room.leave.array
    this.sum = this.#room.sum.array
    this.frauds = this.#room.frauds.array
    this.gone = this.#room.gone.array
  }

  /** Makes room for `slots` keys. */
  grow(slots: number): void {
    const width = slots * this.#plan.delays.length
    this.enter = this.#room.enter.grow(width)
    this.leave = this.#room.leave.grow(width)
    this.sum = this.#room.sum.grow(width)
    this.frauds = this.#room.frauds.grow(width)
    if (this.#plan.hasEver) this.gone = this.#room.gone.grow(width)
  }

  /** The events of a window that are in the ring. Valid until the next call. */
  held(i: number): Range {
    this.#held.from = this.leave[i]
    this.#held.to = this.enter[i]
    return this.#held
  }

  /** How many events a window counts that has those from `from` to below `to` of the ring. */
  count(i: number, from: number, to: number): number {
    return this.#plan.hasEver ? to - from + this.gone[i] : to - from
  }
}
