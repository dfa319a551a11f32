import type { Aggregation } from '../view/aggregation.ts'
import { INSIDE, UNKNOWN, type Aggregator, type Moves, type Own, type Range } from './aggregator.ts'
import { CountTable } from './count-table.ts'
import { NO_VALUE } from './dictionary.ts'
import { Growing } from './growing.ts'
import type { RowColumns } from './ring-columns.ts'
import type { EventRings } from './ring.ts'

/** A ring of so many events gets counts. In a smaller one values are compared, which is quicker and takes no memory. */
const COUNTED = 128

/**
 * The values of one categorical column, or of an entity: how many there are, and how many events have the one of the
 * transaction at hand. They are compared, or counted, by their codes (`Dictionary`), so nothing is estimated.
 */
export class Values implements Aggregator {
  readonly baseSize = 0
  readonly #rings: EventRings
  readonly #row: RowColumns
  /** Which of the columns of values. */
  readonly #column: number
  /** Indices of its windows in the plan. */
  readonly #indices: readonly number[]
  readonly #windows: number
  readonly #counts: CountTable
  readonly #room = { distinct: new Growing(Uint32Array), counted: new Growing(Uint8Array) }
  /** By window: how many values its events have. */
  #distinct = this.#room.distinct.array
  /** By slot: 1 where the events of its windows are counted by value. */
  #counted = this.#room.counted.array

  /**
   * @param row the transaction at hand.
   * @param column which of the rings' columns of values.
   * @param windows indices in the plan.
   */
  constructor(rings: EventRings, row: RowColumns, column: number, windows: readonly number[]) {
    this.#rings = rings
    this.#row = row
    this.#column = column
    this.#indices = windows
    this.#windows = windows.length
    this.#counts = new CountTable(windows.length)
  }

  grow(slots: number): void {
    this.#distinct = this.#room.distinct.grow(slots * this.#windows)
    this.#counted = this.#room.counted.grow(slots)
  }

  moved(slot: number, { came, enter, left, leave }: Moves): void {
    if (this.#counted[slot] === 0 && this.#rings.mask(slot) >= COUNTED - 1) {
      for (const [k, w] of this.#indices.entries()) this.#count(slot, k, left[w], came[w])
      this.#counted[slot] = 1
    }
    // All come in before any leaves: mostly it is one event, whose counts are found once.
    for (let k = 0; k < this.#windows; k++) {
      const w = this.#indices[k]
      if (enter[w] > came[w]) this.#enter(slot, k, came[w], enter[w], left[w])
    }
    for (let k = 0; k < this.#windows; k++) {
      const w = this.#indices[k]
      if (leave[w] > left[w]) this.leave(slot, k, left[w], leave[w], enter[w])
    }
  }

  enter(slot: number, k: number, from: number, to: number): void {
    this.#enter(slot, k, from, to, from)
  }

  leave(slot: number, k: number, from: number, to: number, end: number): void {
    const i = slot * this.#windows + k
    for (let s = from; s < to; s++) {
      const code = this.#code(slot, s)
      if (code === NO_VALUE) continue
      const left = this.#counted[slot] === 1 ? this.#counts.remove(slot, code, k) : this.#has(slot, code, s + 1, end)
      if (left === 0) this.#distinct[i]--
    }
  }

  inserted(slot: number, k: number, sequence: number, within: boolean, _count: -1 | 0 | 1, { from, to }: Range): void {
    const code = this.#code(slot, sequence)
    if (!within || code === NO_VALUE) return
    const others =
      this.#counted[slot] === 1
        ? this.#counts.add(slot, code, k) - 1
        : this.#has(slot, code, from, sequence) + this.#has(slot, code, sequence + 1, to)
    if (others === 0) this.#distinct[slot * this.#windows + k]++
  }

  /** No window of values is for ever. */
  absorb(): void {}

  value(asked: Aggregation['function'], slot: number, k: number, held: Range, own: Own): number {
    if (asked === 'distinct') return this.#distinct[slot * this.#windows + k]
    return this.#ofOwn(asked, slot, k, held, held, own)
  }

  valueOver(asked: Aggregation['function'], slot: number, k: number, held: Range, over: Range, own: Own): number {
    if (asked === 'distinct') return this.#distinctOver(slot, k, held, over)
    return this.#ofOwn(asked, slot, k, held, over, own)
  }

  base(): number[] {
    return []
  }

  resume(slot: number, k: number, { from, to }: Range): void {
    this.#enter(slot, k, from, to, from)
  }

  /** Lets events come into a window, whose oldest one is at `first`. */
  #enter(slot: number, k: number, from: number, to: number, first: number): void {
    const i = slot * this.#windows + k
    for (let s = from; s < to; s++) {
      const code = this.#code(slot, s)
      if (code === NO_VALUE) continue
      const before = this.#counted[slot] === 1 ? this.#counts.add(slot, code, k) - 1 : this.#has(slot, code, first, s)
      if (before === 0) this.#distinct[i]++
    }
  }

  /** Begins to count the events of a window, which it has by now. */
  #count(slot: number, k: number, from: number, to: number): void {
    for (let s = from; s < to; s++) {
      const code = this.#code(slot, s)
      if (code !== NO_VALUE) this.#counts.add(slot, code, k)
    }
  }

  #ofOwn(asked: Aggregation['function'], slot: number, k: number, held: Range, over: Range, own: Own): number {
    const code = own === UNKNOWN ? NO_VALUE : this.#row.codes[this.#column][this.#row.row]
    if (code === NO_VALUE) return Number.NaN
    const itself = own === INSIDE ? 1 : 0
    if (this.#counted[slot] === 0 && asked === 'is_new') {
      // Where it is itself among them, it has the highest sequence of all.
      return this.#has(slot, code, over.from, over.to - itself) === 0 ? 1 : 0
    }
    const same = this.#sameAmong(slot, code, k, held, over)
    if (asked === 'is_new') return same > itself ? 0 : 1
    return same / (over.to - over.from)
  }

  /** How many events of a range have a code: by the counts of the window, or by a look at each. */
  #sameAmong(slot: number, code: number, k: number, held: Range, over: Range): number {
    if (this.#counted[slot] === 0 || !isNear(held, over)) return this.#same(slot, code, over.from, over.to)
    const before = this.#counts.count(slot, code, k)
    return before + this.#same(slot, code, held.to, over.to) + this.#same(slot, code, over.from, held.from)
  }

  /** Moves the window over the other events and back, or looks at each of these, whichever is less work. */
  #distinctOver(slot: number, k: number, held: Range, over: Range): number {
    if (this.#counted[slot] === 0 || !isNear(held, over)) {
      const codes = new Set<number>()
      for (let s = over.from; s < over.to; s++) codes.add(this.#code(slot, s))
      codes.delete(NO_VALUE)
      return codes.size
    }
    this.#move(slot, k, held, over)
    const distinct = this.#distinct[slot * this.#windows + k]
    this.#move(slot, k, over, held)
    return distinct
  }

  #move(slot: number, k: number, from: Range, to: Range): void {
    this.#enter(slot, k, from.to, to.to, from.from)
    this.#enter(slot, k, to.from, from.from, to.from)
    this.leave(slot, k, to.to, from.to, from.to)
    this.leave(slot, k, from.from, to.from, to.to)
  }

  #code(slot: number, sequence: number): number {
    return this.#rings.codes[this.#column][this.#rings.position(slot, sequence)]
  }

  /** 1 where an event from `from` to below `to` has the code, else 0. */
  #has(slot: number, code: number, from: number, to: number): 0 | 1 {
    const codes = this.#rings.codes[this.#column]
    const base = this.#rings.base(slot)
    const mask = this.#rings.mask(slot)
    // The youngest first: who comes again has mostly been there lately.
    for (let s = to - 1; s >= from; s--) if (codes[base + (s & mask)] === code) return 1
    return 0
  }

  /** How many events from `from` to below `to` have the code. Where `to` is the lower one, as many below 0. */
  #same(slot: number, code: number, from: number, to: number): number {
    const codes = this.#rings.codes[this.#column]
    let same = 0
    for (let s = Math.min(from, to); s < Math.max(from, to); s++)
      if (codes[this.#rings.position(slot, s)] === code) same++
    return from <= to ? same : -same
  }
}

/** Whether the ranges overlap, and differ by fewer events than the second has. */
function isNear(held: Range, over: Range): boolean {
  if (over.from > held.to || over.to < held.from) return false
  return Math.abs(over.to - held.to) + Math.abs(over.from - held.from) < over.to - over.from
}
