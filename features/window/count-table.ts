import { randomInt } from 'node:crypto'

/** The table has so many segments, each with a table of its own. */
const SEGMENT_BITS = 8
const SEGMENTS = 1 << SEGMENT_BITS
const FIRST_ENTRIES = 8
/** The largest share of a segment's entries that is taken. */
const FULL = 0.7
/** In front of the counts of an entry: slot + 1 (0: the entry is free), and code. */
const HEAD = 2

/**
 * How many events of each value every window of every key has: for a slot and a code one entry, with a count for each
 * window. An event comes into most windows at once, so their counts lie side by side.
 *
 * Open addressing. An entry whose counts are all 0 is taken out, and those behind it move up. A segment that is full
 * doubles, alone, so that no event waits for the whole table. The hash begins with a number drawn at random, so that
 * nobody can send values that all meet in one place.
 */
export class CountTable {
  readonly #windows: number
  readonly #stride: number
  readonly #seed = randomInt(2 ** 32)
  readonly #segments: Uint32Array[]
  readonly #filled = new Uint32Array(SEGMENTS)
  /** Where `find` ended. */
  #segment = 0
  #at = 0
  /** The entry that was found last and is still there: the windows of a key are asked for one after the other. */
  #foundSlot = -1
  #foundCode = 0

  /** @param windows of each key. */
  constructor(windows: number) {
    this.#windows = windows
    this.#stride = HEAD + windows
    this.#segments = Array.from({ length: SEGMENTS }, () => new Uint32Array(0))
  }

  /** The number of entries. */
  get size(): number {
    return this.#filled.reduce((sum, filled) => sum + filled, 0)
  }

  /** How many events of a window have a value. */
  count(slot: number, code: number, window: number): number {
    return this.#find(slot, code) ? this.#segments[this.#segment][this.#at + HEAD + window] : 0
  }

  /** Counts an event. Returns the count, itself included. */
  add(slot: number, code: number, window: number): number {
    if (!this.#find(slot, code)) this.#insert(slot, code)
    return ++this.#segments[this.#segment][this.#at + HEAD + window]
  }

  /** Takes an event that was counted away. Returns the count that is left. */
  remove(slot: number, code: number, window: number): number {
    this.#find(slot, code)
    const table = this.#segments[this.#segment]
    const at = this.#at
    const left = --table[at + HEAD + window]
    if (left === 0 && this.#isUnused(table, at)) this.#free(table, at)
    return left
  }

  #isUnused(table: Uint32Array, at: number): boolean {
    for (let w = 0; w < this.#windows; w++) if (table[at + HEAD + w] !== 0) return false
    return true
  }

  #hash(slot: number, code: number): number {
    let mixed = this.#seed ^ Math.imul(slot, 0x9e37_79b1)
    mixed = Math.imul(mixed ^ (mixed >>> 15) ^ code, 0x85eb_ca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }

  /** Looks for an entry. Sets `#segment`, and `#at` to the entry or to the free place where it would stand. */
  #find(slot: number, code: number): boolean {
    if (slot === this.#foundSlot && code === this.#foundCode) return true
    this.#foundSlot = -1
    const hash = this.#hash(slot, code)
    this.#segment = hash >>> (32 - SEGMENT_BITS)
    const table = this.#segments[this.#segment]
    const entries = table.length / this.#stride
    if (entries === 0) return false
    let entry = hash & (entries - 1)
    for (;;) {
      const at = entry * this.#stride
      const found = table[at]
      if (found === 0 || (found === slot + 1 && table[at + 1] === code)) {
        this.#at = at
        if (found === 0) return false
        this.#foundSlot = slot
        this.#foundCode = code
        return true
      }
      entry = (entry + 1) & (entries - 1)
    }
  }

  /** Puts an entry that was not found into the place where it would stand. */
  #insert(slot: number, code: number): void {
    const entries = this.#segments[this.#segment].length / this.#stride
    if (++this.#filled[this.#segment] > entries * FULL) {
      this.#double(this.#segment)
      this.#find(slot, code)
    }
    const table = this.#segments[this.#segment]
    table[this.#at] = slot + 1
    table[this.#at + 1] = code
    this.#foundSlot = slot
    this.#foundCode = code
  }

  #double(segment: number): void {
    const stride = this.#stride
    const old = this.#segments[segment]
    const table = new Uint32Array(Math.max(FIRST_ENTRIES * stride, old.length * 2))
    this.#segments[segment] = table
    const last = table.length / stride - 1
    for (let at = 0; at < old.length; at += stride) {
      if (old[at] === 0) continue
      let entry = this.#hash(old[at] - 1, old[at + 1]) & last
      while (table[entry * stride] !== 0) entry = (entry + 1) & last
      table.set(old.subarray(at, at + stride), entry * stride)
    }
  }

  /** Takes out an entry. An entry behind it that would be found no more moves up, and leaves its place to the next. */
  #free(table: Uint32Array, freed: number): void {
    this.#foundSlot = -1
    const stride = this.#stride
    const last = table.length / stride - 1
    let hole = freed / stride
    for (let entry = (hole + 1) & last; table[entry * stride] !== 0; entry = (entry + 1) & last) {
      const at = entry * stride
      const home = this.#hash(table[at] - 1, table[at + 1]) & last
      if (((entry - home) & last) < ((entry - hole) & last)) continue
      table.copyWithin(hole * stride, at, at + stride)
      hole = entry
    }
    table.fill(0, hole * stride, (hole + 1) * stride)
    this.#filled[this.#segment]--
  }
}
