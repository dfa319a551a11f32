/** Rows that go down trees together, bit by bit: row r is bit r / 16 of byte r mod 16 of a vector of 16 bytes. */
export const CONVOY = 128
/** Numbers of 4 bytes in the records: a feature's thresholds, their masks, a node of `addByWalk`. */
export const LADDER_WORDS = 8
export const MASK_WORDS = 4
export const WALK_NODE_WORDS = 4
/** The key of a missing value, above all others. */
export const MISSING_KEY = 0x7fffffff

/** The loops that score rows by trees, a part of `Kernel`. */
export interface ScoreKernel {
  /**
   * Writes for each of the float32 `values[start … end)` a 32-bit whole number, its key: keys are ordered as the values are, −0 just below
   * 0, and that of every NaN is `MISSING_KEY`. May be done in place. `start` and `end` are multiples of 4.
   */
  orderKeys(keys: number, values: number, start: number, end: number): void
  /**
   * Ranks 128 rows by each of the ladders `start … end`. A ladder is the rising keys of a feature's thresholds, each once; a row's rank
   * says how many lie below its own key, and is one more than there are when it is missing. In the vector of `marks` that has the number of
   * its rank, the row's bit is set; all others are 0.
   *
   * A row has `stride` bytes of keys. A ladder's record: where in a row its key is; least and greatest threshold; a shift; the
   * addresses of starts, thresholds and marks; bytes of marks, a vector more than there are ranks of numbers. A key, brought
   * between least and greatest, less the least, shifted right, is the place in `starts` of 16 bits that say from which threshold to search on.
   * After the thresholds come `MISSING_KEY` − 1 and four times `MISSING_KEY`, so that the search ends.
   */
  markRanks(ladders: number, keys: number, stride: number, start: number, end: number): void
  /**
   * Makes of marks the masks of `lists[start … end)`: for each threshold, the rows above it. A list is the addresses of marks and of
   * masks, bytes of masks, and whether missing rows go left (1) and are in no mask, or right (0) and are in all.
   */
  gatherMasks(lists: number, start: number, end: number): void
  /**
   * Sends 128 rows down trees `start … end` and adds the leaves they come to to their float32 `sums`, tree after tree. All rows that
   * reach a node are one vector, those that go on to the right are `reach & mask`; nothing branches on data. `scratch` is 256 bytes, where
   * the numbers of the rows' leaves are written, lower bytes, then higher, and the vectors of the tree that has most nodes.
   *
   * `trees` are addresses: of the number of inner nodes, the number of bits of the leaves' numbers, at most 16, and the address of the float32
   * leaves by number. Then come the inner nodes, parents first, each the addresses of its mask and of the rows that reach it. The vector
   * of the root comes first in `scratch`, then those of each node's left and right child. Then, for each bit, the lowest
   * first, the number and the addresses of vectors of which a row is in one when the number of its leaf has the bit.
   */
  addByBits(sums: number, scratch: number, trees: number, start: number, end: number): void
  /**
   * Adds to the float32 `sums` of rows `start … end` (of `stride` bytes of keys each) the leaves they come to in trees of any depth, eight rows
   * at a time: `end − start` is a multiple of 8. `roots` are the addresses of the roots. A node is where in a row its key is, plus 1 when
   * missing rows go left; the threshold's key, plus 1 in that case; the address of its left child, behind which is the right one;
   * and what a leaf adds, as float32. Children lie behind their parent. A leaf is its own left child, and nothing is above its threshold, `MISSING_KEY`.
   */
  addByWalk(sums: number, keys: number, stride: number, roots: number, trees: number, start: number, end: number): void
}
