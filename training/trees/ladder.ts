/**
 * A ladder holds the thresholds that an ensemble has on one feature, as rising keys, each once. The rank of a row on
 * it is how many thresholds lie below the row's value. So one search on the ladder answers all nodes that split on
 * the feature.
 *
 * A table says from which threshold on to search, by the upper bits of the key, so that few steps are left.
 * `ScoreKernel` describes the record and how `markRanks` reads it.
 */
import type { Arena } from '../kernel/arena.ts'
import { MISSING_KEY } from '../kernel/score.ts'

/** Most places in the table of starts: 32 kB, which stay in the cache while a feature is ranked. */
const MOST_STARTS = 1 << 14
/** Places in that table for each threshold, so that few thresholds share one. */
const STARTS_EACH = 64

/** A ladder that is laid out in an arena. */
export interface Ladder {
  /** By key of a threshold: its number, from 0. */
  rankOf: Map<number, number>
  /** Address of the marks. */
  marks: number
  /** The record that `markRanks` reads, without its first number, the place of the feature in a row. */
  record: number[]
}

/** Lays out the thresholds with these keys: at least one, and fewer than 2^16 different ones. */
export function layLadder(arena: Arena, keys: number[]): Ladder {
  const rising = Int32Array.from(new Set(keys)).sort()
  const count = rising.length
  const thresholds = arena.ints(count + 5)
  // Sentinels that end every search: a missing value is above the first one, and nothing is above the others.
  thresholds.fill(MISSING_KEY).set(rising)
  thresholds[count] = MISSING_KEY - 1
  const marks = arena.bytes(16 * (count + 2))
  const [least, greatest] = [rising[0], rising[count - 1]]
  const shift = shiftFor(greatest - least, Math.min(MOST_STARTS, STARTS_EACH * count))
  const placeOf = (key: number): number => (key - least) >>> shift
  const starts = arena.ints((placeOf(greatest) >>> 1) + 1)
  const table = new Uint16Array(starts.buffer, starts.byteOffset, placeOf(greatest) + 1)
  for (let rank = 0, filled = 0; rank < count; rank++) {
    const place = placeOf(rising[rank])
    table.fill(rank, filled, place + 1)
    filled = place + 1
  }
  return {
    rankOf: new Map(Array.from(rising, (key, rank) => [key, rank])),
    marks: marks.byteOffset,
    record: [least, greatest, shift, starts.byteOffset, thresholds.byteOffset, marks.byteOffset, marks.length],
  }
}

/** By how many bits to shift right, so that a span has at most `places` places. */
function shiftFor(span: number, places: number): number {
  let shift = 0
  while (span >>> shift >= places) shift++
  return shift
}
