import type { Range } from './aggregator.ts'
import type { EventRings } from './ring.ts'

const BITS = 6
/** Events of a block. */
const BLOCK = 1 << BITS
/** A range with fewer events is looked through as it is. */
const MANY = 4 * BLOCK

/** What is remembered of one ring. */
interface Blocks {
  /** By block of positions: its extreme, NaN where no event of it has a value. */
  extremes: Float64Array
  /** 1 where the extreme is known. */
  known: Uint8Array
}

/**
 * The extremes of aligned blocks of a ring's column, so that the extreme of a long range is found without a look at
 * each of its events: on a busy key whose amounts fall, the highest one leaves with every event.
 *
 * A block's extreme is found when it is asked for, and forgotten when one of its events is written.
 */
export class BlockExtremes {
  readonly #rings: EventRings
  readonly #column: (rings: EventRings) => Float64Array
  readonly #highest: boolean
  readonly #rememberedOf = new Map<number, Blocks>()

  constructor(rings: EventRings, column: (rings: EventRings) => Float64Array, highest: boolean) {
    this.#rings = rings
    this.#column = column
    this.#highest = highest
  }

  /** A part of a range that has its extreme, at most a block long; undefined for a range with few events. */
  best(slot: number, from: number, to: number): Range | undefined {
    if (to - from < MANY) return undefined
    const first = Math.ceil(from / BLOCK) * BLOCK
    const end = Math.floor(to / BLOCK) * BLOCK
    const blocks = this.#blocksOf(slot)
    let best: Range = { from, to: first }
    let value = this.#extreme(slot, from, first)
    for (let s = first; s < end; s += BLOCK) {
      const extreme = this.#known(blocks, slot, s)
      if (!this.#isBetter(extreme, value)) continue
      best = { from: s, to: s + BLOCK }
      value = extreme
    }
    return this.#isBetter(this.#extreme(slot, end, to), value) ? { from: end, to } : best
  }

  /** Forgets the blocks with events from a sequence on. */
  written(slot: number, sequence: number): void {
    const blocks = this.#rememberedOf.get(slot)
    if (blocks === undefined) return
    const count = (this.#rings.mask(slot) + 1) >> BITS
    if (blocks.known.length !== count) return void this.#rememberedOf.delete(slot)
    const last = this.#rings.next(slot) - 1
    for (let block = sequence >>> BITS; block <= last >>> BITS; block++) blocks.known[block & (count - 1)] = 0
  }

  #blocksOf(slot: number): Blocks {
    const count = (this.#rings.mask(slot) + 1) >> BITS
    const remembered = this.#rememberedOf.get(slot)
    if (remembered?.known.length === count) return remembered
    const blocks = { extremes: new Float64Array(count), known: new Uint8Array(count) }
    this.#rememberedOf.set(slot, blocks)
    return blocks
  }

  #known({ extremes, known }: Blocks, slot: number, from: number): number {
    const block = (from & this.#rings.mask(slot)) >> BITS
    if (known[block] === 0) {
      extremes[block] = this.#extreme(slot, from, from + BLOCK)
      known[block] = 1
    }
    return extremes[block]
  }

  #extreme(slot: number, from: number, to: number): number {
    const column = this.#column(this.#rings)
    let extreme = Number.NaN
    for (let s = from; s < to; s++) {
      const value = column[this.#rings.position(slot, s)]
      if (this.#isBetter(value, extreme)) extreme = value
    }
    return extreme
  }

  #isBetter(value: number, than: number): boolean {
    if (Number.isNaN(than)) return !Number.isNaN(value)
    return this.#highest ? value > than : value < than
  }
}
