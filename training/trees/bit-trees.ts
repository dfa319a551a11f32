import type { Arena } from '../kernel/arena.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { CONVOY, LADDER_WORDS, MASK_WORDS } from '../kernel/score.ts'
import { layLadder } from './ladder.ts'
import type { Trees } from './tree.ts'

/** What adds to the float32 `sums` of 128 rows, by address, the leaves that they come to, given the keys of the rows. */
export type AddLeaves = (kernel: Kernel, rows: number, sums: number) => void

/**
 * Lays out trees of any depth, with fewer than 2^16 inner nodes in all, that 128 rows go down at once, a row a bit (after the bit
 * vectors of QuickScorer, Lucchese and others 2015, turned round). Of each threshold there is a mask of the rows above it, made
 * once for all trees; two where missing rows go both ways. `keys` are those of the thresholds of all nodes.
 */
export function layBitTrees(arena: Arena, trees: Trees, keys: Int32Array, features: number): AddLeaves {
  const all = Array.from(trees.roots, (root) => bitTree(trees, root))
  const masks = layMasks(
    arena,
    trees,
    keys,
    all.flatMap((tree) => tree.order.filter((_, slot) => tree.children[slot] > 0)),
    features,
  )
  const scratch = arena.bytes(2 * CONVOY + 16 * Math.max(...all.map(({ order }) => order.length))).byteOffset
  const table = layInts(
    arena,
    all.map((tree) => layTree(arena, trees, tree, masks.ofNode, scratch + 2 * CONVOY)),
  )
  return (kernel, rows, sums) => {
    kernel.markRanks(masks.ladders.byteOffset, rows, 4 * features, 0, masks.ladders.length / LADDER_WORDS)
    kernel.gatherMasks(masks.lists.byteOffset, 0, masks.lists.length / MASK_WORDS)
    kernel.addByBits(sums, scratch, table.byteOffset, 0, table.length)
  }
}

/** A tree, level by level: the slot of a node is its number in that order. */
interface BitTree {
  /** Nodes by slot. */
  order: number[]
  /** Slot of the left child, the right one's being the next; 0 at a leaf. */
  children: Int32Array
  /** The leaves' numbers: from left to right. At an inner node, of its least leaf. */
  numbers: Int32Array
  leaves: number
}

function bitTree({ feature, left }: Trees, root: number): BitTree {
  const order = [root]
  for (let slot = 0; slot < order.length; slot++)
    if (feature[order[slot]] >= 0) order.push(left[order[slot]], left[order[slot]] + 1)
  const [children, numbers, sizes] = [0, 0, 1].map((start) => new Int32Array(order.length).fill(start))
  for (let slot = 0, next = 1; slot < order.length; slot++) {
    if (feature[order[slot]] < 0) continue
    children[slot] = next
    next += 2
  }
  for (let slot = order.length - 1; slot >= 0; slot--)
    if (children[slot] > 0) sizes[slot] = sizes[children[slot]] + sizes[children[slot] + 1]
  for (let slot = 0; slot < order.length; slot++) {
    if (children[slot] === 0) continue
    numbers[children[slot]] = numbers[slot]
    numbers[children[slot] + 1] = numbers[slot] + sizes[children[slot]]
  }
  return { order, children, numbers, leaves: sizes[0] }
}

/** Of each bit of the leaves' numbers, the slots of the largest subtrees all of whose leaves have it: a row that is in one of them comes to such a leaf. */
function slotsOfBits({ children, numbers, leaves }: BitTree): number[][] {
  const slots: number[][] = Array.from({ length: Math.ceil(Math.log2(leaves)) }, () => [])
  const [common, above] = [numbers.slice(), new Int32Array(numbers.length)]
  for (let slot = children.length - 1; slot >= 0; slot--)
    if (children[slot] > 0) common[slot] = common[children[slot]] & common[children[slot] + 1]
  for (let slot = 0; slot < children.length; slot++) {
    for (let own = common[slot] & ~above[slot]; own !== 0; own &= own - 1) slots[31 - Math.clz32(own & -own)].push(slot)
    if (children[slot] > 0) above[children[slot]] = above[children[slot] + 1] = common[slot]
  }
  return slots
}

/** Lays out a tree as `addByBits` reads it and returns where. */
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

/** Where the masks are, and the records they are made by. */
interface Masks {
  /** By node: address of its mask. */
  ofNode: Int32Array
  ladders: Int32Array
  lists: Int32Array
}

function layMasks(
  arena: Arena,
  { feature, missingLeft }: Trees,
  keys: Int32Array,
  nodes: number[],
  features: number,
): Masks {
  const ofNode = new Int32Array(feature.length)
  const [ladders, lists]: number[][] = [[], []]
  const byFeature: number[][] = Array.from({ length: features }, () => [])
  for (const node of nodes) byFeature[feature[node]].push(node)
  for (const [by, own] of byFeature.entries()) {
    if (own.length === 0) continue
    const { marks, rankOf, record } = layLadder(
      arena,
      own.map((node) => keys[node]),
    )
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
