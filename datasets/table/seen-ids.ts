/** The most entries a JavaScript Set can hold. */
const SET_CAPACITY = 2 ** 24 - 1

/** Ids below this plus 64 times the number of ids seen get a bit each. */
const BITS_AHEAD = 65_536

/**
 * Ids that were seen, to find one that comes twice. Whole numbers that count up, the common case, take a bit each.
 * Text, and numbers far beyond the number of ids seen, are kept in sets.
 */
export interface SeenIds {
  /** True when the id is new. Numbers are whole, from 0 to 2^53 − 1. */
  add(id: number | string): boolean
}

/** Starts with none seen. `setCapacity` is V8's limit; only tests make it smaller. */
export function seenIds(setCapacity = SET_CAPACITY): SeenIds {
  let bits = new Uint32Array(BITS_AHEAD / 32)
  let added = 0
  const sets: Set<number | string>[] = [new Set()]
  const addToSets = (id: number | string): boolean => {
    if (sets.some((set) => set.has(id))) return false
    if (sets[sets.length - 1].size >= setCapacity) sets.push(new Set())
    sets[sets.length - 1].add(id)
    return true
  }
  const addBit = (id: number): boolean => {
    const word = Math.floor(id / 32)
    if (word >= bits.length) bits = grown(bits, word)
    const mask = 1 << (id % 32)
    // An id that was still far ahead when it came the first time is in the sets.
    if ((bits[word] & mask) !== 0 || (sets[0].size > 0 && sets.some((set) => set.has(id)))) return false
    bits[word] |= mask
    return true
  }
  return {
    add: (id) => {
      added++
      return typeof id === 'number' && id < BITS_AHEAD + 64 * added ? addBit(id) : addToSets(id)
    },
  }
}

function grown(bits: Uint32Array<ArrayBuffer>, word: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(Math.max(bits.length * 2, word + 1))
  larger.set(bits)
  return larger
}
