import type { EventBatch, KeyColumn } from '../../datasets/table/transaction.ts'

/**
 * The low 32 bits of a transaction's id; of text, a hash. Among the events of its key, a fraud label finds its
 * transaction by event time and these bits. Two transactions of one key and one time that share the bits would be
 * confused, about once in 4 billion pairs.
 */
export function hashId(id: number | string): number {
  if (typeof id === 'number') return (id ^ Math.imul(id / 0x1_0000_0000, 0x9e3779b1)) >>> 0
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/**
 * Another 32 bits of the id. Both together are the id itself where it is a whole number, and tell two texts apart but
 * for one pair in 10^19.
 */
export function hashIdHigh(id: number | string): number {
  if (typeof id === 'number') return Math.floor(id / 0x1_0000_0000)
  let hash = 0x9747_b28c
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x5bd1_e995) ^ (hash >>> 13)
  return hash >>> 0
}

/** The ids of a batch's rows as two halves of 64 bits. Every view and every search for repeats reads the same. */
export class IdHashes {
  low = new Uint32Array(0)
  high = new Uint32Array(0)

  /** Takes the ids of a batch. */
  take({ ids, size }: Pick<EventBatch, 'ids' | 'size'>): this {
    this.#makeRoom(size)
    for (let row = 0; row < size; row++) {
      this.low[row] = hashId(ids[row])
      this.high[row] = hashIdHigh(ids[row])
    }
    return this
  }

  /** Takes ids that are one only together with a key. With the same key, two ids never become one. */
  takeWithin(ids: IdHashes, keys: KeyColumn, size: number): this {
    this.#makeRoom(size)
    for (let row = 0; row < size; row++) {
      const [low, high] = [hashId(keys[row]), hashIdHigh(keys[row])]
      this.low[row] = ids.low[row] ^ Math.imul(low ^ Math.imul(high, 0xc2b2_ae35), 0x9e37_79b1)
      this.high[row] = ids.high[row] ^ Math.imul(low ^ (high << 1), 0x85eb_ca6b)
    }
    return this
  }

  #makeRoom(size: number): void {
    if (this.low.length >= size) return
    this.low = new Uint32Array(size)
    this.high = new Uint32Array(size)
  }
}
