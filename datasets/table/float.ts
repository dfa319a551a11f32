import { MS_OF_UNIT, type TimeUnit } from './time.ts'

/**
 * What the float types of a table hold exactly. A value that a type had to round is not told from one that was meant,
 * so where rounding was possible a number is no key, no amount and no time. DOUBLE holds every amount and every time
 * that fd accepts.
 */

/** Significant bits by type. `FLOAT16` is what Parquet calls so; DuckDB reads it as FLOAT. */
const BITS: Record<string, number> = { FLOAT16: 11, FLOAT: 24, DOUBLE: 53 }

/** Whether a type is a float of fewer than 64 bits. */
export function isNarrow(type: string | undefined): boolean {
  return type === 'FLOAT' || type === 'FLOAT16'
}

/** The width of a narrow float type in bits, for messages. */
export function widthOf(type: string | undefined): number {
  return type === 'FLOAT16' ? 16 : 32
}

/** Below which size a type holds every whole number; undefined for what is no float. */
export function wholeBelow(type: string | undefined): number | undefined {
  const bits = BITS[type ?? '']
  return bits === undefined ? undefined : 2 ** bits
}

/**
 * Below which size every amount with so many decimals has a narrow float of its own, which reads back to it: the first
 * power of two from which on neighbouring floats lie further apart than amounts do. The power itself is not below it,
 * since an amount above it may have been rounded to it. Infinity for other types.
 *
 * @param decimals 2 gives 131,072 for 32 bits. Floats of 16 bits hold no decimals well enough: 0.01 is 0.010002136.
 */
export function amountsBelow(type: string | undefined, decimals: number): number {
  if (!isNarrow(type)) return Infinity
  if (type === 'FLOAT16' && decimals > 0) return 0
  return 2 ** (BITS[type ?? ''] + Math.floor(Math.log2(10 ** -decimals)))
}

/**
 * Whether a count of units is a time of its own in a narrow float: a whole number where the type holds all of them, or
 * a fraction where neighbouring floats lie less than a millisecond apart.
 */
export function holdsCount(type: string | undefined, count: number, unit: TimeUnit): boolean {
  const bits = BITS[type ?? '']
  const size = Math.abs(count)
  if (size >= 2 ** bits) return false
  return Number.isInteger(count) || 2 ** (Math.floor(Math.log2(size)) - (bits - 1)) * MS_OF_UNIT[unit] < 1
}
