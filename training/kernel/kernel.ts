import type { ScoreKernel } from './score.ts'

/** Rows whose gradients are summed up together, from row 0 on: the sums, and so the units, do not depend on who adds them. */
export const BLOCK = 4096
/** Numbers of 4 bytes in a node that `addTree` reads. */
export const NODE_WORDS = 5

/** Slots of the task that `search` is given: 32-bit words first, then float64 (counted in float64), of which a node has five. */
export const SEARCH = {
  features: 0,
  monotone: 1,
  parts: 2,
  extra: 3,
  small: 4,
  large: 5,
  found: 6,
  units: 4,
  leastGain: 9,
  nodes: 10,
  floats: 20,
} as const
export const NODE_FLOATS = 5
/** Bytes of what `search` finds for one feature at one node: float64 gain, then 32-bit cut, missing side (1: left), hessian and gradient of the left. */
export const FOUND_BYTES = 24

/**
 * The loops over rows, in WebAssembly (`kernel*.as`) or plain TypeScript (`kernel-twin.ts`), with equal results to the last bit.
 * Arguments that are arrays are addresses: the `byteOffset` of an array of the arena. Every loop runs over `start … end`, its
 * last two arguments, so that threads can part it; rows are named by 32-bit row numbers in `rows`, where `rows` is 0 by
 * `start … end` themselves.
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
  addRows(
    histogram: number,
    bins: number,
    stride: number,
    pairs: number,
    rows: number,
    start: number,
    end: number,
  ): void
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
  gradients(
    pairs: number,
    margins: number,
    labels: number,
    fraudWeight: number,
    sums: number,
    start: number,
    end: number,
  ): void
  /** Turns float32 pairs into whole numbers, in place: times `perHessian` and `perGradient`, rounded, halves to even. `start` and `end` are even. */
  quantise(pairs: number, perHessian: number, perGradient: number, start: number, end: number): void
  /**
   * Writes `rows[start … end)` into `into[start … end)`: those with `(column[row] + turn) mod 256 <= cut` to the front, in order, the
   * others to the back, in reverse. Returns how many stand in front. A turn of 1 makes the missing bin, 255, the lowest.
   */
  divide(rows: number, into: number, column: number, cut: number, turn: number, start: number, end: number): number
  /** Adds `value` to the float32 `sums` of `rows[start … end)`. */
  addLeaf(sums: number, rows: number, value: number, start: number, end: number): void
  /** Adds `left` or `right` to the float32 `sums` of `rows[start … end)`, as `divide` would part them. */
  addLeaves(
    sums: number,
    rows: number,
    column: number,
    cut: number,
    turn: number,
    left: number,
    right: number,
    start: number,
    end: number,
  ): void
  /**
   * Adds to the float32 `sums` of `rows[start … end)` the leaf that each comes to in the tree of `nodes`, the first being the
   * root. A node is the address of its column (0: a leaf), cut and turn as in `divide`, the number of its left child, the right
   * one being the next, and the leaf as float32.
   */
  addTree(sums: number, rows: number, nodes: number, start: number, end: number): void
  /**
   * Writes the bins of the float32 `values` of rows `start … end`, a byte each: how many of the `count` rising float32 `cuts` lie below
   * the value, 255 where it is NaN. `begin` holds a byte for each upper half of a float's bits: a number of cuts that lie below
   * all floats that begin so.
   */
  assign(bins: number, values: number, cuts: number, count: number, begin: number, start: number, end: number): void
  /** Lays out rows `start … end` of columns of bytes, whose addresses stand at `columns`, side by side: `stride` bytes a row. */
  pack(bytes: number, stride: number, columns: number, features: number, start: number, end: number): void
  /** Writes words `start … end` of a stream of random numbers, whose four words of state (`Random.state`) go on. */
  drawWords(state: number, into: number, start: number, end: number): void
  /**
   * Draws each row of `start … end` as many times (a byte, at most 15) as its 16 `bits` are worth in `times`: writes the pair of the times and, where
   * the label (a byte) is 1, the times again, else 0; the rows drawn to the front of `rows`, rising; the sum of the pairs into `sums`. Returns how
   * many rows are drawn.
   */
  drawBootstrap(
    bits: number,
    times: number,
    labels: number,
    pairs: number,
    rows: number,
    sums: number,
    start: number,
    end: number,
  ): number
  /** Writes the rows `start … end` into the same places of `rows`: those whose 16 `bits` are less than `below` in front, rising, then the others, falling. Returns how many are in front. */
  drawRows(bits: number, below: number, rows: number, start: number, end: number): number
  /**
   * The best split of each of `features[start … end)` at one node, `small`, or at two siblings. The task names, by address,
   * the list of features, a direction by feature (signed bytes, 0: none at all), and histograms: that of `small`, to which `extra` others
   * are added first, listed at `parts`; and, unless 0, that of the parent of both, `large`, from which `small` is taken away, so that it becomes
   * the sibling's. Then come, as float64, the units of hessian and gradient, l1, l2, the least hessian sum of a child and the least gain;
   * and for each node its hessian, gradient, lower and upper bound of the step, and what its own best step takes off the loss.
   * What is found stands at `found`, by feature in the list and node; where nothing gains more, the gain is the least one.
   */
  search(task: number, start: number, end: number): void
}
