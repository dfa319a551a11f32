import type { Crew } from '../kernel/crew.ts'
import { type Bounds, stepOf } from '../kernel/newton.ts'
import { type TreeBuilder, treeBuilder } from '../trees/builder.ts'
import type { Trees } from '../trees/tree.ts'
import type { Bins } from './binning.ts'
import type { Units } from './gradient.ts'
import { BINS, createHistograms, histogramLength, type Histograms, type PackedRows } from './histogram.ts'
import { otherList, partRows, type RowLists, sideArguments } from './row-lists.ts'
import { createSplitSearch, type GrowthRules, type Split, type SplitSearch, type Sums } from './splitting.ts'

/**
 * Grows regression trees on pairs of gradients over one binned training set. It owns the buffers that its trees
 * share.
 */
export interface Grower {
  /**
   * Grows one tree that is fitted on `rows` and splits on `features` only. `rows` are row numbers, which are
   * overwritten; undefined means all rows. Leaves are Newton steps times the rate. They are added to `margins` for
   * the rows fitted on. `rows` and `margins` are arrays of the arena.
   */
  grow(units: Units, rows: Int32Array | undefined, features: Int32Array, margins: Float32Array): Trees
}

/** Buffers and rules of a grower. */
interface Shared {
  bins: Bins
  crew: Crew
  rules: GrowthRules
  rate: number
  histograms: Histograms
  search: SplitSearch
  lists: RowLists
}

/** A grower, and the tree that it grows. */
interface Growth extends Shared {
  builder: TreeBuilder
  units: Units
  margins: Float32Array
  /** Leaves so far. Open nodes count as leaves. */
  leaves: number
  /** Nodes that can be split and have not been yet. */
  open: OpenNode[]
}

/**
 * A node being grown. Its rows stand in `rows[start … end)`, or are `start … end` themselves where there is no
 * list.
 */
interface Node extends Sums, Bounds {
  id: number
  depth: number
  rows: Int32Array | undefined
  start: number
  end: number
}

/** A node that can be split, and how. */
interface OpenNode extends Node {
  histogram: Int32Array
  split: Split
}

/**
 * A grower of trees within `rules`, whose leaves take `rate` of a Newton step. `packed` holds the same bins as
 * `bins`, and the `lists` are as long as there are rows.
 */
export function createGrower(
  bins: Bins,
  packed: PackedRows,
  pairs: Int32Array,
  lists: RowLists,
  crew: Crew,
  rules: GrowthRules,
  rate: number,
): Grower {
  const histograms = createHistograms(packed, pairs, crew, [], () => bins.arena.ints(histogramLength(packed)))
  const search = createSplitSearch(bins.arena, crew, bins.columns.length, rules)
  const shared: Shared = { bins, crew, rules, rate, histograms, search, lists }
  return {
    grow(units, rows, features, margins) {
      const builder = treeBuilder(bins.cuts)
      const growth: Growth = { ...shared, builder, units, margins, leaves: 1, open: [] }
      const end = rows?.length ?? bins.rows
      const [histogram, ...others] = histograms.sum(rows, 0, end)
      const place = { id: 0, depth: 0, rows, start: 0, end }
      const root: Node = { ...place, lower: -Infinity, upper: Infinity, ...sumsOf([histogram, ...others]) }
      search.begin(units, features)
      const [split] = rules.maxDepth > 0 ? search.best({ ...root, histogram }, others) : []
      others.forEach(histograms.give)
      consider(growth, { ...root, histogram }, split)
      for (let node = next(growth); node !== undefined; node = next(growth)) expand(growth, node)
      for (const node of growth.open) abandon(growth, node)
      return builder.finish()
    },
  }
}

/** The sums of all rows, read off the first feature, whose bins hold every row once. */
function sumsOf(histograms: Int32Array[]): Sums {
  const sums = { gradient: 0, hessian: 0 }
  for (const histogram of histograms) {
    for (let at = 0; at < 2 * BINS; at += 2) {
      sums.hessian += histogram[at]
      sums.gradient += histogram[at + 1]
    }
  }
  return sums
}

/**
 * The node to split next. With a limit on leaves it is that of largest gain (Shi 2007). Without one any order gives
 * the same tree, and depth first keeps no more histograms alive than the tree is deep.
 */
function next({ leaves, open, rules }: Growth): OpenNode | undefined {
  if (rules.maxLeaves === 0) return open.pop()
  if (leaves >= rules.maxLeaves || open.length === 0) return undefined
  const best = open.reduce((best, node, at) => (node.split.gain > open[best].split.gain ? at : best), 0)
  return open.splice(best, 1)[0]
}

/** Opens the node when there is a split, else makes it a leaf. Takes over the node's histogram. */
function consider(growth: Growth, node: Node & { histogram: Int32Array }, split: Split | undefined): void {
  if (split !== undefined) {
    growth.open.push({ ...node, split })
    return
  }
  growth.histograms.give(node.histogram)
  close(growth, node)
}

/**
 * Splits a node. Only the smaller child is summed up; the larger one is its parent minus the smaller. Frauds are few
 * and splits lopsided, so the smaller child often has a hundredth of the rows.
 */
function expand(growth: Growth, node: OpenNode): void {
  const { bins, builder, crew, histograms, lists, rules, search } = growth
  const [left, right] = childrenOf(growth, node, builder.split(node.id, node.split))
  growth.leaves++
  // Children that cannot be split need neither histograms nor rows of their own.
  if (left.depth >= rules.maxDepth || growth.leaves === rules.maxLeaves) {
    histograms.give(node.histogram)
    return closeBoth(growth, node, left, right)
  }
  const rows = otherList(lists, node.rows)
  left.rows = right.rows = rows
  const column = bins.columns[node.split.feature]
  left.end = right.start = partRows(crew, column, node.split, node.rows, rows, node.start, node.end)
  const [small, large] = left.end - left.start <= right.end - right.start ? [left, right] : [right, left]
  const [histogram, ...others] = histograms.sum(rows, small.start, small.end)
  const nodes = [
    { ...small, histogram },
    { ...large, histogram: node.histogram },
  ] as const
  const [ofSmall, ofLarge] = search.best(nodes[0], others, nodes[1])
  others.forEach(histograms.give)
  consider(growth, nodes[1], ofLarge)
  consider(growth, nodes[0], ofSmall)
}

/** The children of a node, `id` and the next number. Both have all rows of the node for now. */
function childrenOf({ rules, units }: Growth, node: OpenNode, id: number): [left: Node, right: Node] {
  const { split, depth, rows, start, end, lower, upper } = node
  const child = { depth: depth + 1, rows, start, end, lower, upper }
  const left = { ...child, id, ...split.left }
  const right = {
    ...child,
    id: id + 1,
    gradient: node.gradient - split.left.gradient,
    hessian: node.hessian - split.left.hessian,
  }
  const direction = rules.monotone === undefined ? 0 : rules.monotone[split.feature]
  if (direction !== 0) {
    // The midpoint between the children's steps bounds both: all below the left child stays on one side of it, all
    // below the right child on the other.
    const step = (child: Node): number =>
      stepOf(child.gradient * units.gradient, child.hessian * units.hessian, rules, child)
    const border = (step(left) + step(right)) / 2
    Object.assign(direction > 0 ? left : right, { upper: border })
    Object.assign(direction > 0 ? right : left, { lower: border })
  }
  return [left, right]
}

/** Makes an open node a leaf after all. */
function abandon(growth: Growth, node: OpenNode): void {
  growth.histograms.give(node.histogram)
  close(growth, node)
}

/** Makes a node a leaf and adds it to the margins of its rows. */
function close(growth: Growth, node: Node): void {
  const { crew, margins } = growth
  const value = setLeaf(growth, node)
  crew.run('addLeaf', () => [margins.byteOffset, node.rows?.byteOffset ?? 0, value], node.start, node.end)
}

/** Makes both children leaves and adds them to the margins, in one pass over the rows of their parent. */
function closeBoth(growth: Growth, { rows, split, start, end }: OpenNode, left: Node, right: Node): void {
  const { bins, crew, margins } = growth
  const values = [setLeaf(growth, left), setLeaf(growth, right)]
  const sides = sideArguments(bins.columns[split.feature], split)
  crew.run('addLeaves', () => [margins.byteOffset, rows?.byteOffset ?? 0, ...sides, ...values], start, end)
}

function setLeaf({ builder, rate, rules, units }: Growth, node: Node): number {
  const value = Math.fround(rate * stepOf(node.gradient * units.gradient, node.hessian * units.hessian, rules, node))
  builder.setLeaf(node.id, value)
  return value
}
