import { randomInt } from 'node:crypto'
import { Growing } from '../window/growing.ts'

/** The table has so many segments, each with a table of its own. */
const SEGMENT_BITS = 10
const SEGMENTS = 1 << SEGMENT_BITS
/** Entries of a segment's first table. */
const FIRST_ENTRIES = 8
const EMPTY = new Uint32Array(2)

/** In `#sizes`: the key is a number, or a text with characters of two bytes. Else the value is the text's length. */
const NUMBER = 0xffff_ffff
const WIDE = 0x8000_0000

/** The largest share of a segment's entries that is taken. */
const FULL = 0.7

/**
 * The keys of a view, each with its slot: 0, 1, 2 … in the order in which they came. A key is a number or a text; 7
 * and "7" are two keys.
 *
 * It does what a JavaScript `Map` and an array would, without their limits: a `Map` ends at 16,777,216 keys, copies
 * itself when it grows, and each text in it is an object that the garbage collector visits.
 *
 * - Keys lie by slot in columns: a number as it is, a text as its bytes, one a character where they are all Latin-1,
 *   else two.
 * - The slot of a key is found by a hash in two halves of 32 bits. Bits of one say which segment, and the other says
 *   where in the segment's open-addressing table. Entries there are this other half and the slot. A key itself is
 *   compared where they agree.
 * - A segment that is full doubles, alone. So a key that is added moves about a thousandth of the table at most.
 *
 * The hash begins with numbers drawn at random for each table, so that nobody can send keys that all meet in one place.
 * Slots do not depend on them.
 */
export class KeyTable {
  /** Number of keys. */
  size = 0

  /** By segment: pairs of hash and slot + 1. 0 is an entry that is free. */
  readonly #segments: Uint32Array[] = Array.from({ length: SEGMENTS }, () => EMPTY)
  readonly #filled = new Uint32Array(SEGMENTS)
  /** By slot: the number, or where the text begins. */
  readonly #valueRoom = new Growing(Float64Array)
  /** By slot: `NUMBER`, or the length of the text and `WIDE`. */
  readonly #sizeRoom = new Growing(Uint32Array)
  #values = this.#valueRoom.array
  #sizes = this.#sizeRoom.array
  readonly #texts = new Growing(Uint8Array)
  #textsEnd = 0
  readonly #seedHigh: number
  readonly #seedLow: number
  /** Whether all keys are whole numbers of 32 bits, and all of their low half is kept. */
  #words = true
  /** The hash of the key at hand. */
  #high = 0
  #low = 0

  readonly #shift: number

  /** @param bits of the second half of the hash that are used. With fewer, keys meet that otherwise never would. */
  constructor(seed = randomInt(2 ** 47), bits = 32) {
    this.#shift = 32 - bits
    this.#words = bits === 32
    this.#seedHigh = Math.floor(seed / 0x1_0000_0000)
    this.#seedLow = seed | 0
  }

  /** The slot of a key, −1 when it is not known. */
  slot(key: number | string): number {
    this.#hash(key)
    const table = this.#segments[this.#high]
    const low = this.#low
    const mask = table.length - 1
    // No two whole numbers of 32 bits have one low half, so nothing else need be compared.
    const isWord = this.#words && typeof key === 'number' && key >>> 0 === key
    for (let at = (low << 1) & mask; ; at = (at + 2) & mask) {
      const slot = table[at + 1] - 1
      if (slot < 0 || (table[at] === low && (isWord || this.#is(slot, key)))) return slot
    }
  }

  /** Adds a key that is not known yet, and returns its slot. */
  add(key: number | string): number {
    const slot = this.size++
    if (typeof key !== 'number' || key >>> 0 !== key) this.#words = false
    this.#keep(slot, key)
    this.#hash(key)
    const segment = this.#high
    let table = this.#segments[segment]
    if (++this.#filled[segment] > (table.length / 2) * FULL) table = this.#double(segment)
    place(table, this.#low, slot + 1)
    return slot
  }

  /** The key of a slot. */
  key(slot: number): number | string {
    const value = this.#values[slot]
    const size = this.#sizes[slot]
    if (size === NUMBER) return value
    const { buffer } = this.#texts.array
    const bytes = size >= WIDE ? (size - WIDE) * 2 : size
    return Buffer.from(buffer, value, bytes).toString(size >= WIDE ? 'utf16le' : 'latin1')
  }

  #double(segment: number): Uint32Array {
    const old = this.#segments[segment]
    const table = new Uint32Array(Math.max(FIRST_ENTRIES * 2, old.length * 2))
    for (let at = 0; at < old.length; at += 2) if (old[at + 1] !== 0) place(table, old[at], old[at + 1])
    this.#segments[segment] = table
    return table
  }

  #keep(slot: number, key: number | string): void {
    const values = (this.#values = this.#valueRoom.grow(slot + 1))
    const sizes = (this.#sizes = this.#sizeRoom.grow(slot + 1))
    if (typeof key === 'number') {
      // Adding 0 makes −0 and 0 one key.
      values[slot] = key + 0
      sizes[slot] = NUMBER
      return
    }
    const wide = isWide(key)
    const start = this.#textsEnd
    this.#textsEnd += wide ? key.length * 2 : key.length
    const texts = this.#texts.grow(this.#textsEnd)
    if (wide) {
      for (let i = 0, at = start; i < key.length; i++) {
        const code = key.charCodeAt(i)
        texts[at++] = code & 0xff
        texts[at++] = code >>> 8
      }
    } else for (let i = 0; i < key.length; i++) texts[start + i] = key.charCodeAt(i)
    values[slot] = start
    sizes[slot] = wide ? key.length + WIDE : key.length
  }

  /** Whether the key of a slot is this one. */
  #is(slot: number, key: number | string): boolean {
    const value = this.#values[slot]
    const size = this.#sizes[slot]
    if (typeof key === 'number') return size === NUMBER && value === key
    const texts = this.#texts.array
    if (size === key.length) {
      for (let i = 0; i < size; i++) if (texts[value + i] !== key.charCodeAt(i)) return false
      return true
    }
    if (size !== key.length + WIDE) return false
    for (let i = 0, at = value; i < key.length; i++, at += 2) {
      if ((texts[at] | (texts[at + 1] << 8)) !== key.charCodeAt(i)) return false
    }
    return true
  }

  /** Sets the hash of a key: `#high` is its segment, `#low` are 32 bits within that. */
  #hash(key: number | string): void {
    let high = this.#seedHigh
    let low = this.#seedLow
    if (typeof key === 'number') {
      // Most keys have 32 bits. Then one word is mixed twice: keys that differ never have the same low half.
      if (key >>> 0 !== key) low ^= mix(high ^ (key / 0x1_0000_0000))
      low = mix(low ^ key)
      high = mix(high ^ low)
    } else {
      for (let i = 0; i < key.length; i++) {
        const code = key.charCodeAt(i)
        high = Math.imul(high ^ code, 0x0100_0193)
        low = Math.imul(low ^ code, 0x5bd1_e995)
        low ^= low >>> 13
      }
      high = mix(high ^ low)
      low = mix(low ^ high)
    }
    this.#high = high >>> (32 - SEGMENT_BITS)
    this.#low = low >>> this.#shift
  }
}

/** Puts an entry into the first free place from its hash on. */
function place(table: Uint32Array, low: number, entry: number): void {
  const mask = table.length - 1
  let at = (low << 1) & mask
  while (table[at + 1] !== 0) at = (at + 2) & mask
  table[at] = low
  table[at + 1] = entry
}

function isWide(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return true
  return false
}

/** The finaliser of MurmurHash3. */
function mix(word: number): number {
  let mixed = word | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
  return mixed ^ (mixed >>> 16)
}
