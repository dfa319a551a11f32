import type { Bins } from './binning.ts'
import { addRows, BINS, emptyHistogram, type GradientPairs, type PackedRows, PAIR, subtract } from './histogram.ts'
import { bestSplit, type GrowthRules } from './splitting.ts'
import type { TreeBuilder } from './tree.ts'

/** Grows regression trees on gradients over one binned training set; owns the buffers that all its trees share. */
export interface Grower {
  /**
   * Adds one tree to `builder`, fitted on `rows` (rising row numbers; reordered in place) and splitting on `features`
   * only. Leaves are Newton steps `−G/(H+λ) · rate`, and are added to `margins` for the rows fitted on.
   */
  grow(builder: TreeBuilder, units: GradientPairs, rows: Int32Array, features: Int32Array, margins: Float32Array): void
}

/** A node that waits: its rows stand in `rows[start … end)`, its sums in `histogram` unless it is a leaf already. */
interface Node {
  id: number
  depth: number
  start: number
  end: number
  total: number
}

/**
 * Depth first, so that no more histograms live than the tree is deep; without a limit on leaves the tree is the one that
 * growth by level gives. Only the smaller child is summed up, the larger is its parent less that: frauds are few, splits
 * lopsided, and the smaller child often has a hundredth of the rows.
 */
export function createGrower(bins: Bins, packed: PackedRows, rules: GrowthRules, rate: number): Grower {
  const spare: Float64Array[] = []
  const scratch = new Int32Array(bins.rows)
  return {
    grow(builder, units, rows, features, margins) {
      const root = takeHistogram(spare, packed)
      addRows(root, packed, units.pairs, rows, 0, rows.length)
      descend({ id: builder.addRoot(), depth: 0, start: 0, end: rows.length, total: firstFeatureTotal(root) }, root)

      function descend(node: Node, histogram: Float64Array | undefined): void {
        const split = histogram === undefined ? undefined : bestSplit(histogram, node.total, units, features, rules)
        if (histogram === undefined || split === undefined) {
          if (histogram !== undefined) spare.push(histogram)
          return close(node)
        }
        const middle = partition(bins.columns[split.feature], split.cut, rows, node.start, node.end, scratch)
        const id = builder.split(node.id, split.feature, split.cut, split.gain)
        const left = { id, depth: node.depth + 1, start: node.start, end: middle, total: split.left }
        const right = { id: id + 1, depth: node.depth + 1, start: middle, end: node.end, total: node.total - split.left }
        if (node.depth + 1 >= rules.maxDepth) {
          spare.push(histogram)
          close(left)
          return close(right)
        }
        const [small, large] = left.end - left.start <= right.end - right.start ? [left, right] : [right, left]
        const own = takeHistogram(spare, packed)
        addRows(own, packed, units.pairs, rows, small.start, small.end)
        subtract(histogram, own)
        descend(small, own)
        descend(large, histogram)
      }

      function close(node: Node): void {
        const gradient = Math.floor(node.total / PAIR)
        const hessian = node.total - gradient * PAIR
        const value = Math.fround((-gradient * units.gradientUnit * rate) / Math.max(hessian * units.hessianUnit + rules.l2, 1e-12))
        builder.setLeaf(node.id, value)
        for (let i = node.start; i < node.end; i++) margins[rows[i]] += value
      }
    },
  }
}

function takeHistogram(spare: Float64Array[], packed: PackedRows): Float64Array {
  return spare.pop()?.fill(0) ?? emptyHistogram(packed)
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
