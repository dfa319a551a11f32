import type { Arena } from '../kernel/arena.ts'
import { MISSING_KEY } from '../kernel/score.ts'

/** Places of the table that says where a search starts: at most so many, 32 kB, which stay in the cache while a feature is ranked. */
const MOST_STARTS = 1 << 14
/** Places for each threshold, so that few of them share one. */
const STARTS_EACH = 64

/** The different thresholds of one feature, laid out in an arena to rank rows by. */
export interface Ladder {
  /** Number of the threshold of a key, from 0. */
  rankOf: Map<number, number>
  /** Address of the marks. */
  marks: number
  /** What `markRanks` is told, but for the feature's place in a row. */
  record: number[]
}

/** A ladder of the thresholds with these keys, of which there is one at least and fewer than 2^16 different ones. */
export function layLadder(arena: Arena, keys: number[]): Ladder {
  const rising = Int32Array.from(new Set(keys)).sort()
  const count = rising.length
  const thresholds = arena.ints(count + 5)
  // What ends every search: missing is above one of them, nothing above the others.
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

/** By how many bits a span is shifted right so that there are at most so many places. */
function shiftFor(span: number, places: number): number {
  let shift = 0
  while (span >>> shift >= places) shift++
  return shift
}
