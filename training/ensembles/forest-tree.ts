import { randomStream, type Random } from '../../datasets/random/random.ts'
import type { Bins } from '../growing/binning.ts'
import { type GiniNode, type GiniSplit, scanGini } from '../growing/gini.ts'
import { BINS, createHistograms, histogramLength, type Histograms, type PackedRows } from '../growing/histogram.ts'
import { type BootstrapArrays, drawBootstrap, drawRoom } from '../growing/row-draw.ts'
import { otherList, partRows, type RowLists } from '../growing/row-lists.ts'
import { soloCrew } from '../kernel/crew.ts'
import { openKernel } from '../kernel/module.ts'
import { type TreeBuilder, treeBuilder } from '../trees/builder.ts'
import type { Trees } from '../trees/tree.ts'

/**
 * Fewer rows than this are counted one feature at a time, as features are drawn. Clearing and subtracting a histogram
 * of all features takes about as long.
 */
const FEW = 512
/** More histograms than ever live at once, which is one for each halving of 2^32 rows. */
const HISTOGRAMS = 34

/** The rules that limit a tree's growth. `forestParams` describes each. */
export interface ForestRules {
  max_depth: number
  max_features: number
  min_samples_leaf: number
}

/**
 * What one thread needs to grow trees of a forest. All arrays but the few cuts lie in the arena, so that no rows are
 * copied to the thread. Some arrays are the thread's own: see `ForestBuffers`.
 */
export interface ForestTask extends BootstrapArrays {
  module: WebAssembly.Module | undefined
  memory: WebAssembly.Memory
  cuts: Float32Array[]
  columns: Uint8Array[]
  packed: PackedRows
  params: ForestRules
  seed: number
  /** Two lists of rows. The second also holds the random bits while a bootstrap is drawn. */
  lists: RowLists
  /** Histograms to take from. */
  histograms: Int32Array[]
  /** The histogram of one feature. */
  column: Int32Array
}

/** The job of a worker: the trees of a forest that no other thread grows. */
export interface ForestMember {
  task: ForestTask
  /** `next[0]` is the number of the next tree that no thread has taken yet; shared by all threads. */
  next: Int32Array
  /** Number of the last tree. */
  last: number
}

/** What a worker posts for each tree. */
export interface GrownTree {
  tree: number
  trees: Trees
}

/** The arrays of a task that are one thread's own. */
export type ForestBuffers = Pick<ForestTask, 'pairs' | 'state' | 'bits' | 'lists' | 'histograms' | 'column'>

/** Allocates the buffers of one thread in the arena of the bins. */
export function forestBuffers({ arena, rows }: Bins, packed: PackedRows): ForestBuffers {
  const lists: RowLists = [arena.ints(rows), arena.ints(rows)]
  return {
    ...drawRoom(arena, lists[1]),
    pairs: arena.ints(2 * rows),
    lists,
    histograms: Array.from({ length: HISTOGRAMS }, () => arena.ints(histogramLength(packed))),
    column: arena.ints(2 * BINS),
  }
}

/** A task, and the tree that it grows. */
interface Growing extends ForestTask {
  crew: ReturnType<typeof soloCrew>
  sums: Histograms
  random: Random
  builder: TreeBuilder
  /** All features, in the order drawn at the current node. */
  features: Int32Array
  /** How many features to draw at a node. */
  drawn: number
}

/** A node being grown. Its rows stand in `rows[start … end)`. `histogram` is undefined when they are few. */
interface Node extends GiniNode {
  id: number
  depth: number
  rows: Int32Array
  start: number
  end: number
  histogram: Int32Array | undefined
}

/**
 * Grows tree `tree` (from 1) of the forest. It depends on the task's rows, parameters and seed and on `tree` alone,
 * whichever thread grows it.
 */
export function forestGrower(task: ForestTask): (tree: number) => Trees {
  const { columns, packed, pairs, params } = task
  const crew = soloCrew(openKernel(task.module, task.memory))
  const sums = createHistograms(packed, pairs, crew, task.histograms)
  const most = params.max_features === 0 ? Math.ceil(columns.length / 3) : params.max_features
  const drawn = Math.min(columns.length, most)
  return (tree) => {
    const random = randomStream(task.seed, tree)
    const [builder, features] = [treeBuilder(task.cuts), new Int32Array(columns.length)]
    const growing: Growing = { ...task, crew, sums, random, builder, features, drawn }
    const rows = task.lists[0]
    const { count, weight, frauds } = drawBootstrap(crew.kernel, random, task, rows)
    const [histogram] = count < FEW ? [] : sums.sum(rows, 0, count)
    const open: Node[] = [{ id: 0, depth: 0, rows, start: 0, end: count, weight, frauds, histogram }]
    for (let node = open.pop(); node !== undefined; node = open.pop()) growNode(growing, node, open)
    return builder.finish()
  }
}

/**
 * Makes a node a leaf, or splits it and puts its children on top of `open`. The smaller one goes last, and so is
 * grown first, which keeps few histograms alive.
 */
function growNode(growing: Growing, node: Node, open: Node[]): void {
  const split = isClosed(growing.params, node) ? undefined : drawSplit(growing, node)
  if (split === undefined) {
    if (node.histogram !== undefined) growing.sums.give(node.histogram)
    // The weight is 0 when a bootstrap of a few rows has drawn none.
    growing.builder.setLeaf(node.id, node.frauds / Math.max(node.weight, 1))
    return
  }
  const [left, right] = splitNode(growing, node, split)
  const [small, large] = left.end - left.start <= right.end - right.start ? [left, right] : [right, left]
  shareHistogram(growing, node, small, large)
  open.push(large, small)
}

/** Whether a node is a leaf whatever its rows are: of one class, too deep or too light. */
function isClosed(params: ForestRules, { weight, frauds, depth }: Node): boolean {
  if (frauds === 0 || frauds === weight) return true
  if (params.max_depth > 0 && depth >= params.max_depth) return true
  return weight < 2 * params.min_samples_leaf
}

function splitNode(growing: Growing, node: Node, split: GiniSplit): [left: Node, right: Node] {
  const { builder, columns, crew, lists, params } = growing
  const id = builder.split(node.id, split)
  const child = { depth: node.depth + 1, rows: node.rows, start: node.start, end: node.end, histogram: undefined }
  const left = { ...child, id, ...split.left }
  const right = { ...child, id: id + 1, weight: node.weight - left.weight, frauds: node.frauds - left.frauds }
  // Children that are leaves both need no rows of their own.
  if (isClosed(params, left) && isClosed(params, right)) return [left, right]
  left.rows = right.rows = otherList(lists, node.rows)
  left.end = right.start = partRows(crew, columns[split.feature], split, node.rows, left.rows, node.start, node.end)
  return [left, right]
}

/**
 * Gives the children histograms of their own where they are worth it: that of the smaller child is summed up, that of
 * the larger one is what remains of the node's. Takes over the node's histogram.
 */
function shareHistogram({ params, sums }: Growing, { histogram }: Node, small: Node, large: Node): void {
  if (histogram === undefined) return
  const [ofSmall, ofLarge] = [small, large].map((child) => !isClosed(params, child) && child.end - child.start >= FEW)
  const [own] = ofSmall || ofLarge ? sums.sum(small.rows, small.start, small.end) : []
  if (own !== undefined && ofLarge) sums.subtract(histogram, own)
  if (ofLarge) large.histogram = histogram
  else sums.give(histogram)
  if (ofSmall) small.histogram = own
  else if (own !== undefined) sums.give(own)
}

/** The best split among some features, drawn anew. While none of them can split the rows, further ones are drawn. */
function drawSplit(growing: Growing, node: Node): GiniSplit | undefined {
  const { features, drawn, params, random } = growing
  for (let i = 0; i < features.length; i++) features[i] = i
  const best: GiniSplit = { feature: -1, cut: 0, missingLeft: false, gain: -1, left: { weight: 0, frauds: 0 } }
  for (let i = 0; i < features.length && (i < drawn || best.feature < 0); i++) {
    const other = i + random.integer(features.length - i)
    const feature = features[other]
    features[other] = features[i]
    features[i] = feature
    scanGini(columnCounts(growing, node, feature), node, feature, params.min_samples_leaf, best)
  }
  return best.feature < 0 ? undefined : best
}

/** Weight and fraud weight of the node's rows, by bin of one feature. */
function columnCounts({ column, columns, crew, pairs }: Growing, node: Node, feature: number): Int32Array {
  if (node.histogram !== undefined) return node.histogram.subarray(2 * BINS * feature, 2 * BINS * (feature + 1))
  column.fill(0)
  const { rows, start, end } = node
  const { byteOffset } = columns[feature]
  crew.kernel.addColumn(column.byteOffset, byteOffset, pairs.byteOffset, rows.byteOffset, start, end)
  return column
}
