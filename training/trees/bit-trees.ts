/**
 * Bit trees are trees laid out so that 128 rows, a convoy, go down them at once, a row a bit. These are the bit
 * vectors of QuickScorer (Lucchese and others 2015), turned round: there a vector holds the leaves that one row may
 * still reach, here the rows that reach one node.
 *
 * 1. Rows are ranked on the ladder of each feature (`ladder.ts`).
 * 2. The ranks give a mask for each threshold: the rows above it. Masks are made once for all trees. Where missing
 *    rows go both ways, a threshold has two.
 * 3. At each node, the rows that reach it, `and` its mask, go right; the others go left.
 * 4. The leaves of a tree are numbered from left to right. Of each bit of that number we know the nodes below which
 *    all leaves have it, so a row's leaf number is read off the vectors of these nodes, bit by bit.
 *
 * `ScoreKernel` has a loop for each step and describes the records that are laid out here.
 */
import type { Arena } from '../kernel/arena.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { CONVOY, LADDER_WORDS, MASK_WORDS } from '../kernel/score.ts'
import { layLadder } from './ladder.ts'
import type { Trees } from './tree.ts'

/**
 * Adds to the float32 `sums` of a convoy the leaves that its rows reach. `rows` holds their keys. Both are addresses.
 */
export type AddLeaves = (kernel: Kernel, rows: number, sums: number) => void

/**
 * Lays out trees of any depth with fewer than 2^16 inner nodes in all. `keys` holds the key of each node's threshold;
 * `features` is the width of a row.
 */
export function layBitTrees(arena: Arena, trees: Trees, keys: Int32Array, features: number): AddLeaves {
  const all = Array.from(trees.roots, (root) => bitTree(trees, root))
  const inner = all.flatMap((tree) => tree.order.filter((_, slot) => tree.children[slot] > 0))
  const masks = layMasks(arena, trees, keys, inner, features)
  const scratch = arena.bytes(2 * CONVOY + 16 * Math.max(...all.map(({ order }) => order.length))).byteOffset
  const addresses = all.map((tree) => layTree(arena, trees, tree, masks.ofNode, scratch + 2 * CONVOY))
  const table = layInts(arena, addresses)
  return (kernel, rows, sums) => {
    kernel.markRanks(masks.ladders.byteOffset, rows, 4 * features, 0, masks.ladders.length / LADDER_WORDS)
    kernel.gatherMasks(masks.lists.byteOffset, 0, masks.lists.length / MASK_WORDS)
    kernel.addByBits(sums, scratch, table.byteOffset, 0, table.length)
  }
}

/** A tree, level by level. The slot of a node is its place in that order. */
interface BitTree {
  /** The node at each slot. */
  order: number[]
  /** Slot of the left child, by slot; that of the right one is the next. 0 at a leaf. */
  children: Int32Array
  /** Number of the leaf, by slot, counted from left to right. At an inner node, that of its leftmost leaf. */
  numbers: Int32Array
  /** How many leaves there are. */
  leaves: number
}

function bitTree({ feature, left }: Trees, root: number): BitTree {
  const order = [root]
  for (let slot = 0; slot < order.length; slot++) {
    const node = order[slot]
    if (feature[node] >= 0) order.push(left[node], left[node] + 1)
  }
  const [children, numbers, sizes] = [0, 0, 1].map((start) => new Int32Array(order.length).fill(start))
  for (let slot = 0, next = 1; slot < order.length; slot++) {
    if (feature[order[slot]] < 0) continue
    children[slot] = next
    next += 2
  }
  // Children have higher slots than their parent: backwards is bottom up, forwards top down.
  for (let slot = order.length - 1; slot >= 0; slot--) {
    if (children[slot] > 0) sizes[slot] = sizes[children[slot]] + sizes[children[slot] + 1]
  }
  for (let slot = 0; slot < order.length; slot++) {
    if (children[slot] === 0) continue
    numbers[children[slot]] = numbers[slot]
    numbers[children[slot] + 1] = numbers[slot] + sizes[children[slot]]
  }
  return { order, children, numbers, leaves: sizes[0] }
}

/**
 * For each bit of the leaves' numbers, lowest first: the slots of the largest subtrees all of whose leaves have the
 * bit. A row reaches a leaf that has the bit exactly when it reaches one of these nodes.
 */
function slotsOfBits({ children, numbers, leaves }: BitTree): number[][] {
  const slots: number[][] = Array.from({ length: Math.ceil(Math.log2(leaves)) }, () => [])
  const [common, above] = [numbers.slice(), new Int32Array(numbers.length)]
  for (let slot = children.length - 1; slot >= 0; slot--) {
    if (children[slot] > 0) common[slot] = common[children[slot]] & common[children[slot] + 1]
  }
  for (let slot = 0; slot < children.length; slot++) {
    for (let own = common[slot] & ~above[slot]; own !== 0; own &= own - 1) slots[31 - Math.clz32(own & -own)].push(slot)
    if (children[slot] > 0) above[children[slot]] = above[children[slot] + 1] = common[slot]
  }
  return slots
}

/**
 * Lays out a tree as `addByBits` reads it and returns its address. `maskOf` is the address of each node's mask,
 * `reach` that of the vectors of rows.
 */
function layTree(arena: Arena, trees: Trees, tree: BitTree, maskOf: Int32Array, reach: number): number {
  const { children, leaves, numbers, order } = tree
  const values = arena.floats(leaves)
  const nodes: number[] = []
  for (const [slot, node] of order.entries()) {
    if (children[slot] > 0) nodes.push(maskOf[node], reach + 16 * slot)
    else values[numbers[slot]] = trees.value[node]
  }
  const bits = slotsOfBits(tree)
  const entries = bits.flatMap((slots) => [slots.length, ...slots.map((slot) => reach + 16 * slot)])
  return layInts(arena, [nodes.length / 2, bits.length, values.byteOffset, ...nodes, ...entries]).byteOffset
}

/** The addresses of the masks, and the records that `markRanks` and `gatherMasks` make them by. */
interface Masks {
  /** Address of the mask, by node. */
  ofNode: Int32Array
  ladders: Int32Array
  lists: Int32Array
}

function layMasks(arena: Arena, trees: Trees, keys: Int32Array, nodes: number[], features: number): Masks {
  const { feature, missingLeft } = trees
  const ofNode = new Int32Array(feature.length)
  const [ladders, lists]: number[][] = [[], []]
  const byFeature: number[][] = Array.from({ length: features }, () => [])
  for (const node of nodes) byFeature[feature[node]].push(node)
  for (const [by, own] of byFeature.entries()) {
    if (own.length === 0) continue
    const thresholds = own.map((node) => keys[node])
    const { marks, rankOf, record } = layLadder(arena, thresholds)
    ladders.push(4 * by, ...record)
    for (const side of [0, 1]) {
      const sent = own.filter((node) => missingLeft[node] === side)
      if (sent.length === 0) continue
      const masks = arena.bytes(16 * rankOf.size)
      lists.push(marks, masks.byteOffset, masks.length, side)
      for (const node of sent) ofNode[node] = masks.byteOffset + 16 * (rankOf.get(keys[node]) ?? 0)
    }
  }
  return { ofNode, ladders: layInts(arena, ladders), lists: layInts(arena, lists) }
}

function layInts(arena: Arena, values: number[]): Int32Array {
  const laid = arena.ints(values.length)
  laid.set(values)
  return laid
}
