import type { Aggregation } from '../view/aggregation.ts'
import type { AggregatorKind } from './aggregator-plan.ts'
import type { Aggregator, Moves, Range } from './aggregator.ts'
import { BlockExtremes } from './block-extremes.ts'
import { Growing } from './growing.ts'
import type { EventRings } from './ring.ts'

/** No event of the window has a value. No sequence is that high. */
const NONE = 0xffff_ffff

/** Which of two values a window has: the lowest, the highest, that of the newest or that of the oldest event. */
export type Choice = Extract<AggregatorKind, 'min' | 'max' | 'last' | 'first'>

/**
 * The lowest, highest, newest or oldest value of one column: an event of the window, which is kept by its sequence.
 * Nothing is computed, so nothing is rounded.
 *
 * When the event leaves, the next is looked for among those that stay. For the newest there is none then, and for the
 * oldest each event is passed once. For the lowest and highest all are looked at, in a large ring by the extremes of
 * its blocks (`BlockExtremes`).
 *
 * A window for ever keeps, of the events that the ring has dropped, the one that would be chosen: value and time.
 */
export class Extremes implements Aggregator {
  readonly baseSize = 2
  readonly #rings: EventRings
  readonly #column: (rings: EventRings) => Float64Array
  readonly #scale: number
  readonly #choice: Choice
  /** Indices of its windows in the plan. */
  readonly #indices: readonly number[]
  readonly #windows: number
  readonly #hasEver: boolean
  readonly #blocks: BlockExtremes | undefined
  readonly #room = new Growing(Uint32Array)
  /** The sequence of the chosen event plus 1, 0 for none. */
  #chosen = this.#room.array
  /** By window: value and time of what was dropped. NaN: nothing was. */
  readonly #baseRoom = new Growing(Float64Array, 0)
  #base = this.#baseRoom.array

  /**
   * @param scale minor units in one major unit; 1 where the values are as they came.
   * @param windows indices in the plan.
   * @param ever by window: whether it is for ever.
   */
  constructor(
    rings: EventRings,
    column: (rings: EventRings) => Float64Array,
    scale: number,
    windows: readonly number[],
    ever: readonly boolean[],
    choice: Choice,
  ) {
    this.#rings = rings
    this.#column = column
    this.#scale = scale
    this.#choice = choice
    this.#indices = windows
    this.#windows = windows.length
    this.#hasEver = ever.includes(true)
    if (choice === 'min' || choice === 'max') this.#blocks = new BlockExtremes(rings, column, choice === 'max')
  }

  grow(slots: number): void {
    this.#chosen = this.#room.grow(slots * this.#windows)
    if (!this.#hasEver) return
    const before = this.#base.length
    this.#base = this.#baseRoom.grow(slots * this.#windows * 2).fill(Number.NaN, before)
  }

  moved(slot: number, { came, enter, left, leave }: Moves): void {
    for (let k = 0; k < this.#windows; k++) {
      const w = this.#indices[k]
      if (enter[w] > came[w]) this.enter(slot, k, came[w], enter[w])
      if (leave[w] > left[w]) this.leave(slot, k, left[w], leave[w], enter[w])
    }
  }

  enter(slot: number, k: number, from: number, to: number): void {
    const i = slot * this.#windows + k
    this.#chosen[i] = this.#choose(slot, this.#chosen[i], from, to)
  }

  leave(slot: number, k: number, _from: number, to: number, end: number): void {
    const i = slot * this.#windows + k
    const chosen = this.#chosen[i]
    if (chosen === 0 || chosen > to) return
    this.#chosen[i] = this.#choice === 'last' ? 0 : this.#search(slot, to, end)
  }

  inserted(slot: number, k: number, sequence: number, within: boolean): void {
    const i = slot * this.#windows + k
    if (this.#chosen[i] > sequence) this.#chosen[i]++
    if (within) this.#chosen[i] = this.#choose(slot, this.#chosen[i], sequence, sequence + 1)
  }

  absorb(slot: number, k: number, from: number, to: number, end: number): void {
    const at = (slot * this.#windows + k) * 2
    const column = this.#column(this.#rings)
    for (let s = from; s < to; s++) {
      const p = this.#rings.position(slot, s)
      if (Number.isNaN(column[p]) || !this.#isBetterThanBase(column[p], this.#rings.time[p], at)) continue
      this.#base[at] = column[p]
      this.#base[at + 1] = this.#rings.time[p]
    }
    this.leave(slot, k, from, to, end)
  }

  written(slot: number, sequence: number): void {
    this.#blocks?.written(slot, sequence)
  }

  value(_: Aggregation['function'], slot: number, k: number): number {
    return this.#read(slot, k, this.#chosen[slot * this.#windows + k])
  }

  valueOver(_: Aggregation['function'], slot: number, k: number, held: Range, over: Range): number {
    const chosen = this.#chosen[slot * this.#windows + k]
    // Where the chosen event is among the others too, only events beyond the window can be better.
    if (chosen === 0 || chosen <= over.from || chosen > over.to)
      return this.#read(slot, k, this.#search(slot, over.from, over.to))
    let best = this.#choose(slot, chosen, over.from, Math.min(over.to, held.from))
    best = this.#choose(slot, best, Math.max(over.from, held.to), over.to)
    return this.#read(slot, k, best)
  }

  base(slot: number, k: number): number[] {
    const at = (slot * this.#windows + k) * 2
    return [this.#base[at], this.#base[at + 1]]
  }

  resume(slot: number, k: number, { from, to }: Range, base: readonly number[]): void {
    const i = slot * this.#windows + k
    if (this.#hasEver) this.#base.set([base[0] ?? Number.NaN, base[1] ?? Number.NaN], i * 2)
    this.#chosen[i] = this.#search(slot, from, to)
  }

  /** The chosen event (sequence + 1, 0 for none) of one that was chosen before and those of a range. */
  #choose(slot: number, chosen: number, from: number, to: number): number {
    const base = this.#rings.base(slot)
    const mask = this.#rings.mask(slot)
    const column = this.#column(this.#rings)
    let best = chosen
    for (let s = from; s < to; s++) {
      const value = column[base + (s & mask)]
      if (Number.isNaN(value)) continue
      if (best === 0 || this.#isBetter(value, s, column[base + ((best - 1) & mask)], best - 1)) best = s + 1
    }
    return best
  }

  /** The chosen event among those of a range alone. */
  #search(slot: number, from: number, to: number): number {
    const column = this.#column(this.#rings)
    if (this.#choice === 'last') {
      for (let s = to - 1; s >= from; s--) if (!Number.isNaN(column[this.#rings.position(slot, s)])) return s + 1
      return 0
    }
    if (this.#choice === 'first') {
      for (let s = from; s < to; s++) if (!Number.isNaN(column[this.#rings.position(slot, s)])) return s + 1
      return 0
    }
    const within = this.#blocks?.best(slot, from, to)
    return within === undefined ? this.#choose(slot, 0, from, to) : this.#choose(slot, 0, within.from, within.to)
  }

  #isBetter(value: number, sequence: number, than: number, thanSequence: number): boolean {
    if (this.#choice === 'min') return value < than
    if (this.#choice === 'max') return value > than
    return this.#choice === 'last' ? sequence > thanSequence : sequence < thanSequence
  }

  #isBetterThanBase(value: number, time: number, at: number): boolean {
    const [than, thanTime] = [this.#base[at], this.#base[at + 1]]
    if (Number.isNaN(than)) return true
    if (this.#choice === 'min') return value < than
    if (this.#choice === 'max') return value > than
    return this.#choice === 'last' ? time >= thanTime : time < thanTime
  }

  #read(slot: number, k: number, chosen: number): number {
    const p = chosen === 0 ? NONE : this.#rings.position(slot, chosen - 1)
    const column = this.#column(this.#rings)
    const at = (slot * this.#windows + k) * 2
    if (!this.#hasEver) return p === NONE ? Number.NaN : column[p] / this.#scale
    const ofRing = p !== NONE && this.#isBetterThanBase(column[p], this.#rings.time[p], at)
    return (ofRing ? column[p] : this.#base[at]) / this.#scale
  }
}
