import type { Bins } from './binning.ts'
import { addRows, BINS, emptyHistogram, type GradientPairs, type PackedRows, PAIR, subtract } from './histogram.ts'
import { bestSplit, type GrowthRules } from './splitting.ts'
import type { TreeBuilder } from './tree-builder.ts'

/** Grows regression trees on gradients over one binned training set; owns the buffers that all its trees share. */
export interface Grower {
  /**
   * Adds one tree to `builder`, fitted on `rows` (rising row numbers; reordered in place) and splitting on `features`
   * only. Leaves are Newton steps `−G/(H+λ) · rate`, and are added to `margins` for the rows fitted on.
   */
  grow(builder: TreeBuilder, units: GradientPairs, rows: Int32Array, features: Int32Array, margins: Float32Array): void
}

/** Buffers and rules of a grower, and the tree it is at. */
interface Growth extends Tree {
  bins: Bins
  packed: PackedRows
  rules: GrowthRules
  rate: number
  /** Histograms to be used again. */
  spare: Float64Array[]
  scratch: Int32Array
}

interface Tree {
  builder: TreeBuilder
  units: GradientPairs
  rows: Int32Array
  features: Int32Array
  margins: Float32Array
}

/** A node being grown: its rows stand in `rows[start … end)`, `total` is the sum of their pairs. */
interface Node {
  id: number
  depth: number
  start: number
  end: number
  total: number
}

/** A grower of trees within `rules`, whose leaves take `rate` of a Newton step. `packed` holds the same bins as `bins`. */
export function createGrower(bins: Bins, packed: PackedRows, rules: GrowthRules, rate: number): Grower {
  const shared = { bins, packed, rules, rate, spare: [], scratch: new Int32Array(bins.rows) }
  return {
    grow(builder, units, rows, features, margins) {
      const growth: Growth = { ...shared, builder, units, rows, features, margins }
      const histogram = sumRows(growth, 0, rows.length)
      descend(growth, { id: builder.addRoot(), depth: 0, start: 0, end: rows.length, total: firstFeatureTotal(histogram) }, histogram)
    },
  }
}

/**
 * Depth first, so that no more histograms live than the tree is deep; without a limit on leaves the tree is the one that
 * growth by level gives. Only the smaller child is summed up, the larger is its parent less that: frauds are few, splits
 * lopsided, and the smaller child often has a hundredth of the rows.
 */
function descend(growth: Growth, node: Node, histogram: Float64Array): void {
  const { bins, builder, features, rows, rules, scratch, spare, units } = growth
  const split = node.depth < rules.maxDepth ? bestSplit(histogram, node.total, units, features, rules) : undefined
  if (split === undefined) {
    spare.push(histogram)
    return close(growth, node)
  }
  const middle = partition(bins.columns[split.feature], split.cut, rows, node.start, node.end, scratch)
  const id = builder.split(node.id, split.feature, split.cut, split.gain)
  const left = { id, depth: node.depth + 1, start: node.start, end: middle, total: split.left }
  const right = { id: id + 1, depth: node.depth + 1, start: middle, end: node.end, total: node.total - split.left }
  // Nodes of the last level are leaves and need no sums by bin.
  if (node.depth + 1 >= rules.maxDepth) {
    spare.push(histogram)
    close(growth, left)
    return close(growth, right)
  }
  const [small, large] = left.end - left.start <= right.end - right.start ? [left, right] : [right, left]
  const own = sumRows(growth, small.start, small.end)
  subtract(histogram, own)
  descend(growth, small, own)
  descend(growth, large, histogram)
}

function close({ builder, margins, rate, rows, rules, units }: Growth, node: Node): void {
  const gradient = Math.floor(node.total / PAIR)
  const hessian = node.total - gradient * PAIR
  // Without l2 a leaf of saturated rows has neither gradient nor hessian: its step is 0, not 0/0.
  const value = Math.fround((-gradient * units.gradientUnit * rate) / Math.max(hessian * units.hessianUnit + rules.l2, 1e-12))
  builder.setLeaf(node.id, value)
  for (let i = node.start; i < node.end; i++) margins[rows[i]] += value
}

function sumRows({ packed, rows, spare, units }: Growth, start: number, end: number): Float64Array {
  const histogram = spare.pop()?.fill(0) ?? emptyHistogram(packed)
  addRows(histogram, packed, units.pairs, rows, start, end)
  return histogram
}

function firstFeatureTotal(histogram: Float64Array): number {
  let total = 0
  for (let bin = 0; bin < BINS; bin++) total += histogram[bin]
  return total
}

/**
 * Stable in-place partition of `rows[start … end)`: those with `column[row] <= cut` first. Returns where the others begin.
 * Both stores happen for every row and only the counters differ, since the branch would be mispredicted half the time.
 */
export function partition(column: Uint8Array, cut: number, rows: Int32Array, start: number, end: number, scratch: Int32Array): number {
  let [left, right] = [start, 0]
  for (let i = start; i < end; i++) {
    const row = rows[i]
    const goesRight = column[row] > cut ? 1 : 0
    rows[left] = row
    scratch[right] = row
    left += 1 - goesRight
    right += goesRight
  }
  for (let i = 0; i < right; i++) rows[left + i] = scratch[i]
  return left
}
