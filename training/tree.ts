import type { Bins } from './binning.ts'

/**
 * Binary trees in flat arrays, all trees of an ensemble one after another. Node n is a leaf when `feature[n] < 0`, else a
 * row goes to `left[n]` when `x[feature[n]] <= threshold[n]` in float32, to `left[n] + 1` otherwise, NaN included.
 */
export interface Trees {
  /** First node of each tree. */
  roots: Int32Array
  feature: Int32Array
  threshold: Float32Array
  /** Threshold as a bin of the training set: `bin <= cut` says the same as `x <= threshold`. */
  cut: Uint8Array
  left: Int32Array
  /** What a leaf adds to the score; 0 at inner nodes. */
  value: Float32Array
  /** What the split gained, in the unit of the trainer's criterion; 0 at leaves. */
  gain: Float64Array
}

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

/** A builder whose thresholds are the `cuts` of the training set. */
export function treeBuilder(cuts: Float32Array[]): TreeBuilder {
  const roots: number[] = []
  const feature: number[] = []
  const cut: number[] = []
  const left: number[] = []
  const value: number[] = []
  const gain: number[] = []
  const addLeaf = (): number => {
    cut.push(0)
    left.push(0)
    value.push(0)
    gain.push(0)
    return feature.push(-1) - 1
  }
  return {
    addRoot() {
      roots.push(addLeaf())
      return feature.length - 1
    },
    split(node, byFeature, byCut, gained) {
      feature[node] = byFeature
      cut[node] = byCut
      gain[node] = gained
      left[node] = addLeaf()
      addLeaf()
      return left[node]
    },
    setLeaf(node, leaf) {
      value[node] = Math.fround(leaf)
    },
    finish(trees = roots.length) {
      const nodes = trees < roots.length ? roots[trees] : feature.length
      return {
        roots: Int32Array.from(roots.slice(0, trees)),
        feature: Int32Array.from(feature.slice(0, nodes)),
        threshold: Float32Array.from({ length: nodes }, (_, node) => (feature[node] < 0 ? 0 : cuts[feature[node]][cut[node]])),
        cut: Uint8Array.from(cut.slice(0, nodes)),
        left: Int32Array.from(left.slice(0, nodes)),
        value: Float32Array.from(value.slice(0, nodes)),
        gain: Float64Array.from(gain.slice(0, nodes)),
      }
    },
    addNewest(bins, sums, take) {
      const root = roots[roots.length - 1]
      for (let row = 0; row < bins.rows; row++) {
        if (take !== undefined && take[row] === 0) continue
        let node = root
        while (feature[node] >= 0) node = left[node] + (bins.columns[feature[node]][row] <= cut[node] ? 0 : 1)
        sums[row] += value[node]
      }
    },
  }
}

/**
 * Sum of the trees' leaves for each row of the row-major matrix `x`, added in float32 in the order of the trees, exactly
 * as ONNX Runtime adds them with one thread.
 */
export function treeScores(trees: Trees, x: Float32Array, features: number): Float32Array {
  const sums = new Float32Array(x.length / features)
  const { feature, threshold, left, value } = trees
  for (const root of trees.roots) {
    for (let row = 0, at = 0; row < sums.length; row++, at += features) {
      let node = root
      while (feature[node] >= 0) node = left[node] + (x[at + feature[node]] <= threshold[node] ? 0 : 1)
      sums[row] += value[node]
    }
  }
  return sums
}

/** Deepest leaf of any tree; 0 when every tree is a single leaf. */
export function depthOf(trees: Trees): number {
  const depth = new Int32Array(trees.feature.length)
  let deepest = 0
  for (let node = 0; node < depth.length; node++) {
    deepest = Math.max(deepest, depth[node])
    // Children have higher numbers than their parent, so one pass in order is enough.
    if (trees.feature[node] >= 0) depth[trees.left[node]] = depth[trees.left[node] + 1] = depth[node] + 1
  }
  return deepest
}

/** Total gain by feature, scaled to sum to 1 (all 0 when nothing was split): the importance that xgboost calls total_gain. */
export function gainImportance(trees: Trees, features: number): Float64Array {
  const importance = new Float64Array(features)
  trees.feature.forEach((by, node) => {
    if (by >= 0) importance[by] += trees.gain[node]
  })
  const total = importance.reduce((sum, gain) => sum + gain, 0)
  return total > 0 ? importance.map((gain) => gain / total) : importance
}
