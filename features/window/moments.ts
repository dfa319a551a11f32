import type { Aggregation } from '../view/aggregation.ts'
import type { Aggregator, Moves, Range } from './aggregator.ts'
import { Growing } from './growing.ts'
import type { EventRings } from './ring.ts'

const LIMB = 2 ** 40
const HALF = 2 ** 20
/** Whole numbers below it are exact. */
const EXACT = 2 ** 53

/** What is kept of a window: number of values, their sum and, in two limbs of 40 bits, the sum of their squares. */
const NUMBER = 0
const SUM = 1
const HIGH = 2
const LOW = 3

/**
 * Sums, means and standard deviations of one column.
 *
 * The values are whole minor units, of at most 36 bits (`toMinorUnits`). So the sum is exact below 2^53, and so is the
 * sum of squares in its two limbs, of which the lower one is always from 0 to below 2^40. What has come in is taken out
 * again without a trace, in whatever order. Rounding happens at the read alone: one division, and one root.
 */
export class Moments implements Aggregator {
  readonly #rings: EventRings
  readonly #column: (rings: EventRings) => Float64Array
  readonly #scale: number
  /** Indices of its windows in the plan. */
  readonly #indices: readonly number[]
  readonly #windows: number
  /** By window: whether it is for ever. */
  readonly #ever: readonly boolean[]
  readonly #squares: boolean
  /** Numbers that are kept of a window. */
  readonly #size: number
  readonly #room = new Growing(Float64Array)
  #state = this.#room.array
  /** What is kept of a range, while it is added up. */
  readonly #part = new Float64Array(4)

  /**
   * @param scale minor units in one major unit.
   * @param windows indices in the plan.
   * @param ever by window: whether it is for ever.
   * @param squares whether sums of squares are kept.
   */
  constructor(
    rings: EventRings,
    column: (rings: EventRings) => Float64Array,
    scale: number,
    windows: readonly number[],
    ever: readonly boolean[],
    squares: boolean,
  ) {
    this.#rings = rings
    this.#column = column
    this.#scale = scale
    this.#indices = windows
    this.#windows = windows.length
    this.#ever = ever
    this.#squares = squares
    this.#size = squares ? 4 : 2
  }

  get baseSize(): number {
    return this.#size
  }

  grow(slots: number): void {
    this.#state = this.#room.grow(slots * this.#windows * this.#size)
  }

  moved(slot: number, { came, enter, left, leave }: Moves): void {
    const column = this.#column(this.#rings)
    const base = this.#rings.base(slot)
    const mask = this.#rings.mask(slot)
    for (let k = 0, at = this.#at(slot, 0); k < this.#windows; k++, at += this.#size) {
      const w = this.#indices[k]
      for (let s = came[w]; s < enter[w]; s++) this.#count(this.#state, at, column[base + (s & mask)], 1)
      for (let s = left[w]; s < leave[w]; s++) this.#count(this.#state, at, column[base + (s & mask)], -1)
    }
  }

  enter(slot: number, k: number, from: number, to: number): void {
    this.#add(this.#state, this.#at(slot, k), slot, from, to, 1)
  }

  leave(slot: number, k: number, from: number, to: number): void {
    this.#add(this.#state, this.#at(slot, k), slot, from, to, -1)
  }

  inserted(slot: number, k: number, sequence: number, _within: boolean, count: -1 | 0 | 1): void {
    if (count !== 0) this.#add(this.#state, this.#at(slot, k), slot, sequence, sequence + 1, count)
  }

  /** What was added stays. */
  absorb(): void {}

  value(asked: Aggregation['function'], slot: number, k: number): number {
    return this.#read(asked, this.#state, this.#at(slot, k))
  }

  valueOver(asked: Aggregation['function'], slot: number, k: number, held: Range, over: Range): number {
    const part = this.#part
    const apart = Math.abs(over.to - held.to) + Math.abs(over.from - held.from)
    if (this.#ever[k] || apart < over.to - over.from) {
      const at = this.#at(slot, k)
      for (let i = 0; i < this.#size; i++) part[i] = this.#state[at + i]
      this.#shift(slot, held.to, over.to)
      this.#shift(slot, over.from, held.from)
    } else {
      part.fill(0)
      this.#add(part, 0, slot, over.from, over.to, 1)
    }
    return this.#read(asked, part, 0)
  }

  base(slot: number, k: number, held: Range): number[] {
    const at = this.#at(slot, k)
    const part = this.#part
    for (let i = 0; i < this.#size; i++) part[i] = this.#state[at + i]
    this.#add(part, 0, slot, held.from, held.to, -1)
    return [...part.subarray(0, this.#size)]
  }

  resume(slot: number, k: number, held: Range, base: readonly number[]): void {
    const at = this.#at(slot, k)
    for (let i = 0; i < this.#size; i++) this.#state[at + i] = base[i] ?? 0
    this.#add(this.#state, at, slot, held.from, held.to, 1)
  }

  #at(slot: number, k: number): number {
    return (slot * this.#windows + k) * this.#size
  }

  /** Adds the events from `from` to below `to` to the part. Where `to` is the lower one, takes those between away. */
  #shift(slot: number, from: number, to: number): void {
    if (from <= to) this.#add(this.#part, 0, slot, from, to, 1)
    else this.#add(this.#part, 0, slot, to, from, -1)
  }

  #add(state: Float64Array, at: number, slot: number, from: number, to: number, sign: 1 | -1): void {
    const column = this.#column(this.#rings)
    for (let s = from; s < to; s++) this.#count(state, at, column[this.#rings.position(slot, s)], sign)
  }

  /** Counts a value, or takes it out again. */
  #count(state: Float64Array, at: number, value: number, sign: 1 | -1): void {
    if (Number.isNaN(value)) return
    state[at + NUMBER] += sign
    state[at + SUM] += sign * value
    if (!this.#squares) return
    const size = Math.abs(value)
    let low = state[at + LOW]
    if (size < HALF) low += sign * size * size
    else {
      // With x = h · 2^20 + l: x² = (h² + carry) · 2^40 + the rest of 2hl · 2^20 + l². No product exceeds 2^41.
      const high = Math.floor(size / HALF)
      const rest = size - high * HALF
      const middle = 2 * high * rest
      const carry = Math.floor(middle / HALF)
      state[at + HIGH] += sign * (high * high + carry)
      low += sign * ((middle - carry * HALF) * HALF + rest * rest)
    }
    const over = low >= 0 && low < LIMB ? 0 : Math.floor(low / LIMB)
    state[at + HIGH] += over
    state[at + LOW] = low - over * LIMB
  }

  #read(asked: Aggregation['function'], state: Float64Array, at: number): number {
    const number = state[at + NUMBER]
    const sum = state[at + SUM]
    if (asked === 'sum') return sum / this.#scale
    if (asked === 'mean') return number === 0 ? Number.NaN : sum / number / this.#scale
    if (number < 2) return Number.NaN
    const spread = spreadOf(number, sum, state[at + HIGH], state[at + LOW])
    return Math.sqrt(spread / (number * (number - 1))) / this.#scale
  }
}

/**
 * n · Q − S², the float64 nearest to it, where Q = high · 2^40 + low. It is a whole number, and often a small
 * difference of large ones, so no product may be rounded before.
 */
function spreadOf(number: number, sum: number, high: number, low: number): number {
  const squares = high * LIMB + low
  const [one, other] = [number * squares, sum * sum]
  if (one < EXACT && other < EXACT) return one - other
  return Number(BigInt(number) * (BigInt(high) * BigInt(LIMB) + BigInt(low)) - BigInt(sum) * BigInt(sum))
}
