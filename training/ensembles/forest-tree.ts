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

/** Fewer rows than this are counted feature by feature as they are drawn; a histogram of all features is cleared and subtracted in about that time. */
const FEW = 512
/** More histograms than ever live at once: one for each halving of 2^32 rows. */
const HISTOGRAMS = 34

/** What holds a tree back; each is described among the forest's parameters. */
export interface ForestRules {
  max_depth: number
  max_features: number
  min_samples_leaf: number
}

/** What grows trees of a forest, in one thread; all arrays are shared with the others or its own, and none is copied. */
export interface ForestTask extends BootstrapArrays {
  module: WebAssembly.Module | undefined
  memory: WebAssembly.Memory
  cuts: Float32Array[]
  columns: Uint8Array[]
  packed: PackedRows
  params: ForestRules
  seed: number
  /** One thread's own, in the arena: two lists of rows, of which the second holds the random bits of a bootstrap, and histograms. */
  lists: RowLists
  histograms: Int32Array[]
  column: Int32Array
}

/** The arrays of one thread. */
export function forestBuffers(
  { arena, rows }: Bins,
  packed: PackedRows,
): Pick<ForestTask, 'pairs' | 'state' | 'bits' | 'lists' | 'histograms' | 'column'> {
  const lists: RowLists = [arena.ints(rows), arena.ints(rows)]
  return {
    ...drawRoom(arena, lists[1]),
    pairs: arena.ints(2 * rows),
    lists,
    histograms: Array.from({ length: HISTOGRAMS }, () => arena.ints(histogramLength(packed))),
    column: arena.ints(2 * BINS),
  }
}

/** A tree being grown. */
interface Growing extends ForestTask {
  crew: ReturnType<typeof soloCrew>
  sums: Histograms
  random: Random
  builder: TreeBuilder
  features: Int32Array
  drawn: number
}

/** A node: its rows stand in `rows[start … end)`; `histogram` is undefined when they are few. */
interface Node extends GiniNode {
  id: number
  depth: number
  rows: Int32Array
  start: number
  end: number
  histogram: Int32Array | undefined
}

/** Grows tree `tree` (from 1) of the forest: it depends on the task's rows, parameters and seed, and on `tree`, alone. */
export function forestGrower(task: ForestTask): (tree: number) => Trees {
  const { columns, packed, pairs, params } = task
  const crew = soloCrew(openKernel(task.module, task.memory))
  const sums = createHistograms(packed, pairs, crew, task.histograms)
  const drawn = Math.min(
    columns.length,
    params.max_features === 0 ? Math.ceil(columns.length / 3) : params.max_features,
  )
  return (tree) => {
    const random = randomStream(task.seed, tree)
    const growing: Growing = {
      ...task,
      crew,
      sums,
      random,
      builder: treeBuilder(task.cuts),
      features: new Int32Array(columns.length),
      drawn,
    }
    const rows = task.lists[0]
    const { count, weight, frauds } = drawBootstrap(crew.kernel, random, task, rows)
    const [histogram] = count < FEW ? [] : sums.sum(rows, 0, count)
    const open: Node[] = [{ id: 0, depth: 0, rows, start: 0, end: count, weight, frauds, histogram }]
    for (let node = open.pop(); node !== undefined; node = open.pop()) growNode(growing, node, open)
    return growing.builder.finish()
  }
}

/** Makes a node a leaf, or splits it and puts its children on top of `open`, the smaller one last: so few histograms live. */
function growNode(growing: Growing, node: Node, open: Node[]): void {
  const split = isClosed(growing.params, node) ? undefined : drawSplit(growing, node)
  if (split === undefined) {
    if (node.histogram !== undefined) growing.sums.give(node.histogram)
    // A bootstrap of a few rows may have drawn none.
    return growing.builder.setLeaf(node.id, node.frauds / Math.max(node.weight, 1))
  }
  const [left, right] = splitNode(growing, node, split)
  const [small, large] = left.end - left.start <= right.end - right.start ? [left, right] : [right, left]
  shareHistogram(growing, node, small, large)
  open.push(large, small)
}

/** Whether a node is a leaf whatever its rows: one class, too deep or too light. */
function isClosed(
  { max_depth: deepest, min_samples_leaf: least }: ForestRules,
  { weight, frauds, depth }: GiniNode & { depth: number },
): boolean {
  return frauds === 0 || frauds === weight || (deepest > 0 && depth >= deepest) || weight < 2 * least
}

function splitNode(
  { builder, columns, crew, lists, params }: Growing,
  node: Node,
  split: GiniSplit,
): [left: Node, right: Node] {
  const id = builder.split(node.id, split)
  const child = { depth: node.depth + 1, rows: node.rows, start: node.start, end: node.end, histogram: undefined }
  const left = { ...child, id, ...split.left }
  const right = { ...child, id: id + 1, weight: node.weight - left.weight, frauds: node.frauds - left.frauds }
  // Two leaves need no rows of their own.
  if (isClosed(params, left) && isClosed(params, right)) return [left, right]
  left.rows = right.rows = otherList(lists, node.rows)
  left.end = right.start = partRows(crew, columns[split.feature], split, node.rows, left.rows, node.start, node.end)
  return [left, right]
}

/**
 * Turns the histogram of a node into its children's, as far as they are worth one: the smaller is summed up, the larger is
 * what remains.
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

/** The best split among some features drawn anew, further ones drawn while none of them parts the rows. */
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

/** The node's counts by bin of one feature. */
function columnCounts({ column, columns, crew, pairs }: Growing, node: Node, feature: number): Int32Array {
  if (node.histogram !== undefined) return node.histogram.subarray(2 * BINS * feature, 2 * BINS * (feature + 1))
  column.fill(0)
  crew.kernel.addColumn(
    column.byteOffset,
    columns[feature].byteOffset,
    pairs.byteOffset,
    node.rows.byteOffset,
    node.start,
    node.end,
  )
  return column
}
