import type { Bins } from './binning.ts'

/** Bins of one feature in a histogram: a byte's worth, whether all are used or not. */
export const BINS = 256

/**
 * A gradient and a hessian in one float64, `gradient · 2^27 + hessian`, both whole numbers. Sums of such pairs stay below
 * 2^53 and so are exact: they do not depend on the order of the rows, a sibling is its parent minus the other child to the
 * last bit, and one addition serves both. (A 64-bit integer would carry more digits, but is a slow BigInt in JavaScript.)
 */
export const PAIR = 2 ** 27
const GRADIENT_TOTAL = 2 ** 25
const HESSIAN_TOTAL = 2 ** 26
/** Stands for a total of 0, so that no unit is infinite. */
const LEAST_TOTAL = 1e-250

/** Rows × features as words of four bins, so that one load feeds four additions. `words[row * stride + k]` holds features 4k to 4k + 3. */
export interface PackedRows {
  words: Uint32Array
  stride: number
}

/** Lays out the columns of `bins` row by row; the features are padded to a multiple of four with bin 0. */
export function packRows(bins: Bins): PackedRows {
  const stride = Math.ceil(bins.columns.length / 4)
  const words = new Uint32Array(bins.rows * stride)
  bins.columns.forEach((column, feature) => {
    const shift = (feature & 3) * 8
    for (let row = 0, at = feature >> 2; row < bins.rows; row++, at += stride) words[at] |= column[row] << shift
  })
  return { words, stride }
}

/** An empty histogram: `256 × features` (padded) pairs, feature by feature. */
export function emptyHistogram(packed: PackedRows): Float64Array {
  return new Float64Array(packed.stride * 4 * BINS)
}

/** Adds the pairs of `rows[start … end)` to `histogram`. */
export function addRows(histogram: Float64Array, packed: PackedRows, pairs: Float64Array, rows: Int32Array, start: number, end: number): void {
  const { words, stride } = packed
  for (let i = start; i < end; i++) {
    const pair = pairs[rows[i]]
    const at = rows[i] * stride
    for (let k = 0, base = 0; k < stride; k++, base += 4 * BINS) {
      const word = words[at + k]
      histogram[base + (word & 255)] += pair
      histogram[base + 256 + ((word >>> 8) & 255)] += pair
      histogram[base + 512 + ((word >>> 16) & 255)] += pair
      histogram[base + 768 + (word >>> 24)] += pair
    }
  }
}

/** Turns the histogram of a parent into that of one child, by taking away the other's. */
export function subtract(histogram: Float64Array, other: Float64Array): void {
  for (let i = 0; i < histogram.length; i++) histogram[i] -= other[i]
}

/** One pair a row, and what a whole-number gradient and hessian are worth. */
export interface GradientPairs {
  pairs: Float64Array
  gradientUnit: number
  hessianUnit: number
}

/**
 * Rounds the gradients and hessians (≥ 0) to whole numbers of a unit, so chosen that the totals over the rows with
 * `take[row] !== 0` (all when absent) fill 25 and 26 bits. Writes the pairs and the units into `into`; the pair of a row that is not taken is not to be summed.
 */
export function packGradients(gradient: Float64Array, hessian: Float64Array, into: GradientPairs, take?: Uint8Array): void {
  let [gradients, hessians] = [0, 0]
  for (let row = 0; row < gradient.length; row++) {
    if (take !== undefined && take[row] === 0) continue
    gradients += Math.abs(gradient[row])
    hessians += hessian[row]
  }
  const up = GRADIENT_TOTAL / Math.max(gradients, LEAST_TOTAL)
  const upHessian = HESSIAN_TOTAL / Math.max(hessians, LEAST_TOTAL)
  for (let row = 0; row < gradient.length; row++) {
    into.pairs[row] = Math.round(gradient[row] * up) * PAIR + Math.round(hessian[row] * upHessian)
  }
  into.gradientUnit = 1 / up
  into.hessianUnit = 1 / upHessian
}
