import type { ScoreKernel } from './kernel-score.ts'

/** Rows whose gradients are summed up together, from row 0 on: the sums, and so the units, do not depend on who adds them. */
export const BLOCK = 4096
/** Numbers of 4 bytes in a node that `addTree` reads. */
export const NODE_WORDS = 5

/**
 * The loops over rows, in WebAssembly (`kernel.as`) or plain TypeScript (`kernel-twin.ts`), with equal results to the last bit.
 * Arguments that are arrays are addresses: the `byteOffset` of an array of the arena. Every loop runs over `start … end`, its
 * last two arguments, so that threads can part it; rows are named by 32-bit row numbers in `rows`.
 *
 * A pair is a hessian and a gradient, two 32-bit whole numbers side by side. The kernel adds them as one 64-bit number: the
 * lower half, a sum of hessians, is never negative nor above 2^31, so nothing is carried into the upper. Sums of whole
 * numbers do not depend on their order, and a sibling is its parent minus the other child to the last bit.
 */
export interface Kernel extends ScoreKernel {
  /**
   * Adds the pairs of `rows[start … end)` to a histogram of 256 pairs a feature. `bins` holds `stride` bytes a row, an
   * even number; the histogram has as many features.
   */
  addRows(histogram: number, bins: number, stride: number, pairs: number, rows: number, start: number, end: number): void
  /** Adds the pairs of `rows[start … end)` to a histogram of one feature, whose bins are `column`. */
  addColumn(histogram: number, column: number, pairs: number, rows: number, start: number, end: number): void
  /** Adds `other` to `into`, pairs both; `start` and `end` are bytes, multiples of 16. */
  add(into: number, other: number, start: number, end: number): void
  /** Takes `other` from `from`, likewise. */
  subtract(from: number, other: number, start: number, end: number): void
  /**
   * Logistic loss at the float32 `margins`: writes hessian p (1 − p) and gradient p − y, float32, times `fraudWeight` where the
   * label (a byte) is 1, and the sums of hessians and of absolute gradients of each block of rows into `sums`. `start` is a
   * multiple of the block, `end` of 4.
   */
  gradients(pairs: number, margins: number, labels: number, fraudWeight: number, sums: number, start: number, end: number): void
  /** Turns float32 pairs into whole numbers, in place: times `perHessian` and `perGradient`, rounded, halves to even. `start` and `end` are even. */
  quantise(pairs: number, perHessian: number, perGradient: number, start: number, end: number): void
  /**
   * Parts `rows[start … end)`, keeping order: those with `(column[row] + turn) mod 256 <= cut` to the front, in place, the others
   * to `scratch[start …)`. Returns how many stand in front. A turn of 1 makes the missing bin, 255, the lowest.
   */
  divide(rows: number, scratch: number, column: number, cut: number, turn: number, start: number, end: number): number
  /** Adds `value` to the float32 `sums` of `rows[start … end)`. */
  addLeaf(sums: number, rows: number, value: number, start: number, end: number): void
  /**
   * Adds to the float32 `sums` of `rows[start … end)` the leaf that each comes to in the tree of `nodes`, the first being the
   * root. A node is the address of its column (0: a leaf), cut and turn as in `divide`, the number of its left child, the right
   * one being the next, and the leaf as float32.
   */
  addTree(sums: number, rows: number, nodes: number, start: number, end: number): void
}
