/**
 * The loops that score rows by trees. They read numbers as keys, 32-bit whole numbers that are ordered as the numbers
 * are. There are two ways down a tree:
 *
 * - **By bits** (`markRanks`, `gatherMasks`, `addByBits`): 128 rows go down all nodes at once, a row a bit. Its time
 *   grows with the number of nodes, and nothing branches on data.
 * - **By a walk** (`addByWalk`): each row goes from node to node. Its time grows with the depth.
 *
 * `trees/bit-trees.ts` and `trees/walk-trees.ts` lay out the records that these loops read. All numbers in records
 * have 4 bytes.
 */
import type { Address, Loop } from './loop.ts'

/**
 * Rows that go down trees together, a convoy. A vector has 16 bytes and holds a bit for each of them: byte r mod 16
 * holds row r, as its bit r / 16.
 */
export const CONVOY = 128
/** Numbers in the record of a ladder. */
export const LADDER_WORDS = 8
/** Numbers in the record of a list of masks. */
export const MASK_WORDS = 4
/** Numbers in a node that `addByWalk` reads. */
export const WALK_NODE_WORDS = 4
/** The key of a missing value, above all others. */
export const MISSING_KEY = 0x7fffffff

/** The operations that score, a part of `Kernel`. */
export interface ScoreKernel {
  /**
   * Writes the keys of the float32 `values[start … end)`, in place if `keys` is `values`. Keys are ordered as the
   * values are, −0 just below 0, and every NaN has `MISSING_KEY`. `start` and `end` are multiples of 4.
   */
  orderKeys: Loop<[keys: Address, values: Address]>
  /**
   * Ranks a convoy by each of the ladders `start … end`. A row's rank on a ladder is the number of thresholds below
   * its key; a missing value has one more than there are thresholds. `marks` gets a vector for each rank: the row's
   * bit is set in the vector of its rank and 0 in all others.
   *
   * `keys` holds `stride` bytes a row. The record of a ladder:
   *
   * | word | |
   * | --- | --- |
   * | 0 | where in a row the key is, in bytes |
   * | 1, 2 | least and greatest threshold |
   * | 3 | shift |
   * | 4 | address of the starts |
   * | 5 | address of the thresholds, as rising keys, each once |
   * | 6, 7 | address of the marks, and their length in bytes: a vector for each rank, missing included |
   *
   * The starts say from which threshold on to search, 16 bits each. The place among them is the key, brought between
   * least and greatest, minus the least, shifted right. Behind the thresholds come `MISSING_KEY` − 1 and four times
   * `MISSING_KEY`, so that the search ends.
   */
  markRanks: Loop<[ladders: Address, keys: Address, stride: number]>
  /**
   * Turns marks into the masks of `lists[start … end)`. A mask is a vector: the rows above one threshold.
   *
   * The record of a list: addresses of the marks and of the masks, bytes of the masks, and the side of missing rows,
   * which are in no mask (1: they go left) or in all of them (0: they go right).
   */
  gatherMasks: Loop<[lists: Address]>
  /**
   * Sends a convoy down trees `start … end` and adds to the float32 `sums` of its rows the leaves that they reach,
   * tree after tree. The rows that reach a node are one vector; `reach & mask` are those that go on to the right.
   *
   * `trees` holds the addresses of the trees. A tree is:
   *
   * 1. the number of inner nodes, the number of bits in the leaves' numbers (at most 16), and the address of the
   *    leaves, float32 by number;
   * 2. the inner nodes, parents first: the address of the mask and that of the rows that reach the node;
   * 3. for each bit of the leaves' numbers, lowest first: a count of vectors, then their addresses. A row is in one
   *    of them when the number of its leaf has the bit.
   *
   * `scratch` starts with 256 bytes for the numbers of the rows' leaves, lower bytes, then higher ones. Behind them
   * it has room for the vectors of the largest tree: that of the root, then those of each node's left and right
   * child.
   */
  addByBits: Loop<[sums: Address, scratch: Address, trees: Address]>
  /**
   * Walks the rows `start … end`, `stride` bytes of keys each, down trees of any depth, and adds to their float32
   * `sums` the leaves that they reach. Takes eight rows at a time: `end − start` is a multiple of 8. `roots` holds
   * the addresses of the roots of `trees` trees.
   *
   * A node is: where in a row its key is, plus 1 when missing rows go left; the threshold's key, plus 1 in that case
   * too; the address of the left child, behind which is the right one; and what a leaf adds, in float32. Children lie
   * behind their parent. A leaf is its own left child, and its threshold is `MISSING_KEY`, which nothing is above.
   */
  addByWalk: Loop<[sums: Address, keys: Address, stride: number, roots: Address, trees: number]>
}
