/**
 * The kernel: the loops over rows that fit trees and score by them, as one table of operations. They are written
 * twice, in AssemblyScript, which is compiled to WebAssembly (`*.as`), and in plain TypeScript (`twin.ts`). Both give
 * equal results to the last bit. `module.ts` opens either.
 *
 * - **Memory.** A kernel works in the memory of one arena. It allocates nothing and keeps nothing between calls. It
 *   does not check its arguments either: an address beyond the memory is a fault of the caller.
 * - **Rows.** Rows are named by 32-bit row numbers, in the list `rows`: a loop runs over `rows[start … end)`. Where
 *   `rows` is 0 it runs over the row numbers `start … end` themselves. Columns, labels and sums are indexed by row
 *   number.
 * - **Pairs.** A pair is a hessian and a gradient, two 32-bit whole numbers side by side. The kernel adds a pair as
 *   one 64-bit number: the lower half, a sum of hessians, is never negative and never above 2^31, so that nothing is
 *   carried into the upper half.
 * - **Determinism.** Sums of whole numbers do not depend on their order, so it does not matter which thread adds
 *   what, and a sibling is its parent minus the other child to the last bit.
 */
import type { Address, Loop } from './loop.ts'
import type { ScoreKernel } from './score.ts'

/**
 * Rows whose gradients are summed up together, counted from row 0. So the sums, and the units that follow from them, do
 * not depend on which thread adds them up.
 */
export const BLOCK = 4096
/** Numbers of 4 bytes in a node that `addTree` reads. */
export const NODE_WORDS = 5

/** Slots of the task that `search` reads. */
export const SEARCH = {
  // Counted in 32-bit words:
  /** Address of the list of features. */
  features: 0,
  /** Address of the direction of each feature, a signed byte; 0 when no feature has one. */
  monotone: 1,
  /** Address of the addresses of further histograms, which are added to that of the node first. */
  parts: 2,
  /** How many further histograms there are. */
  extra: 3,
  /** Address of the node's histogram. */
  small: 4,
  /** Address of the parent's histogram when the sibling is searched too, else 0. */
  large: 5,
  /** Address of what is found. */
  found: 6,
  // Counted in float64:
  /** Units of hessian and gradient, l1, l2, least hessian sum of a child. */
  units: 4,
  leastGain: 9,
  /**
   * The node, then the sibling, `NODE_FLOATS` each: hessian, gradient, lower and upper bound of the step, and what the
   * node's own best step takes off the loss.
   */
  nodes: 10,
  /** Length of the task. */
  floats: 20,
} as const
export const NODE_FLOATS = 5
/**
 * Bytes of what `search` finds for one feature at one node: the gain in float64, then, in 32 bits each, the cut, the
 * side of missing values (1: left), and the hessian and the gradient of the left child.
 */
export const FOUND_BYTES = 24

/** The operations. What they have in common stands at the head of this file. */
export interface Kernel extends ScoreKernel {
  // Histograms: 256 pairs a feature, one for each bin.

  /**
   * Adds the pairs of `rows` to a histogram of `stride` features. `bins` holds `stride` bytes a row, an even number.
   */
  addRows: Loop<[histogram: Address, bins: Address, stride: number, pairs: Address, rows: Address]>
  /** Adds the pairs of `rows`, which is not 0, to a histogram of one feature. `column` holds its bins, a byte a row. */
  addColumn: Loop<[histogram: Address, column: Address, pairs: Address, rows: Address]>
  /** Adds the pairs of `other` to those of `into`. `start` and `end` are bytes, multiples of 16. */
  add: Loop<[into: Address, other: Address]>
  /** Subtracts the pairs of `other` from those of `from`. `start` and `end` are bytes, multiples of 16. */
  subtract: Loop<[from: Address, other: Address]>
  /**
   * Finds the best split of each of `features[start … end)` at one node, `small`, or at two siblings. `SEARCH` says
   * what the task holds.
   *
   * The `parts` are added to the histogram of `small` first. Where there is a sibling, `small` is then subtracted
   * from `large`, so that the parent's histogram becomes the sibling's. What is found stands at `found`, by place of
   * the feature in the list, then by node. Where nothing gains more than the least gain, that is the gain written.
   */
  search: Loop<[task: Address]>

  // Gradients of the logistic loss.

  /**
   * Writes the float32 pairs of the loss at the float32 `margins`: hessian p (1 − p) and gradient p − y, both times
   * `fraudWeight` where the label, a byte, is 1. Writes to `sums` the sum of hessians and the sum of absolute
   * gradients of each block of rows. `start` is a multiple of `BLOCK`, `end` of 4.
   */
  gradients: Loop<[pairs: Address, margins: Address, labels: Address, fraudWeight: number, sums: Address]>
  /**
   * Turns float32 pairs into whole numbers, in place: times `perHessian` and `perGradient`, then rounded, halves to
   * even. `start` and `end` are even.
   */
  quantise: Loop<[pairs: Address, perHessian: number, perGradient: number]>

  // Rows that go down a tree. A row goes left when `(column[row] + turn) mod 256 <= cut`: a turn of 1 makes the bin of
  // missing values, 255, the lowest one, and sends them left.

  /**
   * Writes `rows[start … end)` into `into[start … end)`: rows that go left to the front, in order, the others to
   * the back, in reverse. Returns how many go left.
   */
  divide: Loop<[rows: Address, into: Address, column: Address, cut: number, turn: number], number>
  /** Adds `value` to the float32 `sums` of `rows`. */
  addLeaf: Loop<[sums: Address, rows: Address, value: number]>
  /** Adds to the float32 `sums` of `rows`: `left` for rows that go left, `right` for the others. */
  addLeaves: Loop<
    [sums: Address, rows: Address, column: Address, cut: number, turn: number, left: number, right: number]
  >
  /**
   * Adds to the float32 `sums` of `rows` the leaf that each row reaches in the tree of `nodes`, whose first is the
   * root. A node is `NODE_WORDS` numbers: the address of its column (0 at a leaf), its cut, its turn, the number of
   * its left child (the right one is the next), and the value of a leaf, in float32.
   */
  addTree: Loop<[sums: Address, rows: Address, nodes: Address]>

  // Binning.

  /**
   * Writes the bins of the float32 `values`, a byte each: how many of the `count` rising float32 `cuts` lie below the
   * value, or 255 for NaN. `begin` says where to start the search: it holds a byte for each upper half of a float's
   * bits, a number of cuts that lie below all floats with that half.
   */
  assign: Loop<[bins: Address, values: Address, cuts: Address, count: number, begin: Address]>
  /** Lays out columns of bytes side by side, `stride` bytes a row. `columns` holds the addresses of the columns. */
  pack: Loop<[bytes: Address, stride: number, columns: Address, features: number]>

  // Draws of rows.

  /** Writes words `start … end` of a random stream and advances its four words of state (see `Random.state`). */
  drawWords: Loop<[state: Address, into: Address]>
  /**
   * Draws a bootstrap: each row as many times as `times`, a byte of at most 15, says of the row's 16 `bits`. Writes a
   * pair for each row: the times and, where the label (a byte) is 1, the times again, else 0. Writes the rows drawn
   * to the front of `rows`, rising, and the sum of the pairs to `sums`. Returns how many rows are drawn.
   */
  drawBootstrap: Loop<
    [bits: Address, times: Address, labels: Address, pairs: Address, rows: Address, sums: Address],
    number
  >
  /**
   * Writes the row numbers `start … end` to the same places of `rows`: those whose 16 `bits` are less than `below` in
   * front, rising, then the others, falling. Returns how many are in front.
   */
  drawRows: Loop<[bits: Address, below: number, rows: Address], number>
}
