import type { Aggregation } from '../view/aggregation.ts'
import { INSIDE, UNKNOWN, type Aggregator, type Own, type Range } from './aggregator.ts'
import { CountTable } from './count-table.ts'
import { NO_VALUE } from './dictionary.ts'
import { Growing } from './growing.ts'
import type { RowColumns } from './ring-columns.ts'
import type { EventRings } from './ring.ts'

/**
 * The values of one categorical column, or of an entity: how many there are, and how many events have the one of the
 * transaction at hand. They are counted by their codes (`Dictionary`), one event at a time, so nothing is estimated.
 */
export class Values implements Aggregator {
  readonly baseSize = 0
  readonly #rings: EventRings
  readonly #row: RowColumns
  /** Which of the columns of values. */
  readonly #column: number
  readonly #windows: number
  readonly #counts: CountTable
  readonly #room = new Growing(Uint32Array)
  /** By window: how many values its events have. */
  #distinct = this.#room.array

  /**
   * @param row the transaction at hand.
   * @param column which of the rings' columns of values.
   * @param windows of each key.
   */
  constructor(rings: EventRings, row: RowColumns, column: number, windows: number) {
    this.#rings = rings
    this.#row = row
    this.#column = column
    this.#windows = windows
    this.#counts = new CountTable(windows)
  }

  grow(slots: number): void {
    this.#distinct = this.#room.grow(slots * this.#windows)
  }

  enter(slot: number, k: number, from: number, to: number): void {
    const codes = this.#rings.codes[this.#column]
    for (let s = from; s < to; s++) {
      const code = codes[this.#rings.position(slot, s)]
      if (code !== NO_VALUE && this.#counts.add(slot, code, k) === 1) this.#distinct[slot * this.#windows + k]++
    }
  }

  leave(slot: number, k: number, from: number, to: number): void {
    const codes = this.#rings.codes[this.#column]
    for (let s = from; s < to; s++) {
      const code = codes[this.#rings.position(slot, s)]
      if (code !== NO_VALUE && this.#counts.remove(slot, code, k) === 0) this.#distinct[slot * this.#windows + k]--
    }
  }

  inserted(slot: number, k: number, sequence: number, within: boolean): void {
    if (within) this.enter(slot, k, sequence, sequence + 1)
  }

  /** No window of values is for ever. */
  absorb(): void {}

  value(asked: Aggregation['function'], slot: number, k: number, held: Range, own: Own): number {
    if (asked === 'distinct') return this.#distinct[slot * this.#windows + k]
    const code = this.#ownCode(own)
    if (code === NO_VALUE) return Number.NaN
    return ofOwn(asked, this.#counts.count(slot, code, k), held.to - held.from, own)
  }

  valueOver(asked: Aggregation['function'], slot: number, k: number, held: Range, over: Range, own: Own): number {
    if (asked === 'distinct') return this.#distinctOver(slot, k, held, over)
    const code = this.#ownCode(own)
    if (code === NO_VALUE) return Number.NaN
    const before = isNear(held, over) ? this.#counts.count(slot, code, k) : undefined
    const same =
      before === undefined
        ? this.#same(slot, code, over.from, over.to)
        : before + this.#same(slot, code, held.to, over.to) + this.#same(slot, code, over.from, held.from)
    return ofOwn(asked, same, over.to - over.from, own)
  }

  base(): number[] {
    return []
  }

  resume(slot: number, k: number, { from, to }: Range): void {
    this.enter(slot, k, from, to)
  }

  /** Moves the window over the other events and back, or looks at each of these, whichever is less work. */
  #distinctOver(slot: number, k: number, held: Range, over: Range): number {
    if (!isNear(held, over)) {
      const codes = new Set<number>()
      for (let s = over.from; s < over.to; s++)
        codes.add(this.#rings.codes[this.#column][this.#rings.position(slot, s)])
      codes.delete(NO_VALUE)
      return codes.size
    }
    this.#move(slot, k, held, over)
    const distinct = this.#distinct[slot * this.#windows + k]
    this.#move(slot, k, over, held)
    return distinct
  }

  #move(slot: number, k: number, from: Range, to: Range): void {
    this.enter(slot, k, from.to, to.to)
    this.enter(slot, k, to.from, from.from)
    this.leave(slot, k, to.to, from.to)
    this.leave(slot, k, from.from, to.from)
  }

  #ownCode(own: Own): number {
    return own === UNKNOWN ? NO_VALUE : this.#row.codes[this.#column][this.#row.row]
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

function ofOwn(asked: Aggregation['function'], same: number, events: number, own: Own): number {
  if (asked === 'is_new') return same > (own === INSIDE ? 1 : 0) ? 0 : 1
  return same / events
}
