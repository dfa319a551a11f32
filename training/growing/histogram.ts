import type { Crew } from '../kernel/crew.ts'
import type { Bins } from './binning.ts'

/** Bins of one feature in a histogram: all that a byte can hold, used or not. */
export const BINS = 256

/**
 * The bins row by row, `stride` bytes a row. The features are padded with bin 0 to an even number, since the kernel
 * adds eight or two at a time.
 */
export interface PackedRows {
  bytes: Uint8Array
  stride: number
}

/** Lays out the columns of `bins` row by row. */
export function packRows({ arena, columns, rows }: Bins, crew: Crew): PackedRows {
  const stride = Math.ceil(columns.length / 2) * 2
  const bytes = arena.bytes(rows * stride)
  using _room = arena.scope()
  const addresses = arena.ints(columns.length)
  addresses.set(columns.map((column) => column.byteOffset))
  crew.run('pack', () => [bytes.byteOffset, stride, addresses.byteOffset, columns.length], 0, rows)
  return { bytes, stride }
}

/**
 * Histograms are sums of pairs by bin: `256 × features` (padded) pairs of 32-bit numbers, hessian and gradient,
 * feature by feature. They lie in the arena and are reused: whoever takes one from `sum` hands it back with `give`.
 */
export interface Histograms {
  /**
   * Sums up `rows[start … end)`, an array of the arena; where it is undefined, the rows `start … end` themselves.
   * Returns a histogram for each thread that took part; their sum is the histogram of the rows.
   */
  sum(rows: Int32Array | undefined, start: number, end: number): Int32Array[]
  /** Turns the histogram of a parent into that of one child by subtracting the other's. */
  subtract(histogram: Int32Array, other: Int32Array): void
  /** Hands a histogram back. */
  give(histogram: Int32Array): void
}

/** Numbers of 32 bits in a histogram. */
export function histogramLength(packed: PackedRows): number {
  return packed.stride * BINS * 2
}

/**
 * Histograms of the `pairs`, two 32-bit numbers a row. They come from `spare`, arrays of the arena, and from
 * `allocate` when that is empty.
 */
export function createHistograms(
  packed: PackedRows,
  pairs: Int32Array,
  crew: Crew,
  spare: Int32Array[],
  allocate?: () => Int32Array,
): Histograms {
  const bytes = 4 * histogramLength(packed)
  const take = (): Int32Array => {
    const taken = spare.pop()?.fill(0) ?? allocate?.()
    if (taken === undefined) throw new Error('More histograms live than were set aside')
    return taken
  }
  return {
    sum(rows, start, end) {
      const own: Int32Array[] = []
      const histogramOf = (thread: number): Int32Array => (own[thread] ??= take())
      const shared = [packed.bytes.byteOffset, packed.stride, pairs.byteOffset, rows?.byteOffset ?? 0]
      const parts = crew.run('addRows', (thread) => [histogramOf(thread).byteOffset, ...shared], start, end)
      const used = new Set(parts.map(({ thread }) => thread))
      spare.push(...own.filter((_, thread) => !used.has(thread)))
      return own.filter((_, thread) => used.has(thread))
    },
    subtract: (histogram, other) => crew.kernel.subtract(histogram.byteOffset, other.byteOffset, 0, bytes),
    give: (histogram) => void spare.push(histogram),
  }
}
