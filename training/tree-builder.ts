import type { Bins } from './binning.ts'
import type { Trees } from './tree.ts'

/** Trees while they grow. Nodes are numbered in the order of `addRoot` and `split`. */
export interface TreeBuilder {
  /** Starts the next tree: its root, a leaf for now. */
  addRoot(): number
  /** Makes `node` an inner node; returns its left child, the right one is the next number. */
  split(node: number, feature: number, cut: number, gain: number): number
  setLeaf(node: number, value: number): void
  /** Copies out everything grown so far, or the first `trees` trees. */
  finish(trees?: number): Trees
  /** For every row of `bins` with `take[row] === 1` (all when absent): adds the leaf of the newest tree to `sums`, in float32. */
  addNewest(bins: Bins, sums: Float32Array, take?: Uint8Array): void
}

/** Nodes so far, as `Trees` has them, in arrays that grow. */
interface Nodes {
  roots: number[]
  feature: number[]
  cut: number[]
  left: number[]
  value: number[]
  gain: number[]
}

/** A builder whose thresholds are the `cuts` of the training set. */
export function treeBuilder(cuts: Float32Array[]): TreeBuilder {
  const nodes: Nodes = { roots: [], feature: [], cut: [], left: [], value: [], gain: [] }
  return {
    addRoot() {
      const root = addLeaf(nodes)
      nodes.roots.push(root)
      return root
    },
    split(node, feature, cut, gain) {
      nodes.feature[node] = feature
      nodes.cut[node] = cut
      nodes.gain[node] = gain
      nodes.left[node] = addLeaf(nodes)
      addLeaf(nodes)
      return nodes.left[node]
    },
    setLeaf(node, value) {
      nodes.value[node] = Math.fround(value)
    },
    finish: (trees = nodes.roots.length) => copyTrees(nodes, cuts, trees),
    addNewest: (bins, sums, take) => addTree(nodes, nodes.roots[nodes.roots.length - 1], bins, sums, take),
  }
}

function addLeaf({ feature, cut, left, value, gain }: Nodes): number {
  cut.push(0)
  left.push(0)
  value.push(0)
  gain.push(0)
  return feature.push(-1) - 1
}

function copyTrees(nodes: Nodes, cuts: Float32Array[], trees: number): Trees {
  const { roots, feature, cut, left, value, gain } = nodes
  const count = trees < roots.length ? roots[trees] : feature.length
  return {
    roots: Int32Array.from(roots.slice(0, trees)),
    feature: Int32Array.from(feature.slice(0, count)),
    threshold: Float32Array.from({ length: count }, (_, node) => (feature[node] < 0 ? 0 : cuts[feature[node]][cut[node]])),
    cut: Uint8Array.from(cut.slice(0, count)),
    left: Int32Array.from(left.slice(0, count)),
    value: Float32Array.from(value.slice(0, count)),
    gain: Float64Array.from(gain.slice(0, count)),
  }
}

function addTree({ feature, cut, left, value }: Nodes, root: number, { columns, rows }: Bins, sums: Float32Array, take?: Uint8Array): void {
  for (let row = 0; row < rows; row++) {
    if (take !== undefined && take[row] === 0) continue
    let node = root
    while (feature[node] >= 0) node = left[node] + (columns[feature[node]][row] <= cut[node] ? 0 : 1)
    sums[row] += value[node]
  }
}
