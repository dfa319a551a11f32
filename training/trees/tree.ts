/**
 * Binary trees in flat arrays, indexed by node, all trees of an ensemble one after another. Node n is a leaf when
 * `feature[n] < 0`. Else a row goes to `left[n]` when `x[feature[n]] <= threshold[n]` in float32, and to `left[n] + 1`
 * otherwise; NaN goes where `missingLeft` says. Children have higher numbers than their parent.
 */
export interface Trees {
  /** First node of each tree. */
  roots: Int32Array
  feature: Int32Array
  threshold: Float32Array
  /** The threshold as a bin of the training set: `bin <= cut` is the same as `x <= threshold`. */
  cut: Uint8Array
  /** 1 where a missing value goes left, 0 where it goes right. */
  missingLeft: Uint8Array
  left: Int32Array
  /** What a leaf adds to the score; 0 at inner nodes. */
  value: Float32Array
  /** What the split gained, in the unit of the criterion that it was grown by; 0 at leaves. */
  gain: Float64Array
}

/**
 * Sum of the trees' leaves for each row of the row-major matrix `x`, added in float32 in the order of the trees,
 * exactly as ONNX Runtime adds them with one thread. It is a plain walk, the reference that `treeScorer` is tested
 * against.
 */
export function treeScores(trees: Trees, x: Float32Array, features: number): Float32Array {
  const sums = new Float32Array(x.length / features)
  const { feature, threshold, missingLeft, left, value } = trees
  for (const root of trees.roots) {
    for (let row = 0, at = 0; row < sums.length; row++, at += features) {
      let node = root
      while (feature[node] >= 0) {
        const number = x[at + feature[node]]
        node = left[node] + (number <= threshold[node] || (number !== number && missingLeft[node] === 1) ? 0 : 1)
      }
      sums[row] += value[node]
    }
  }
  return sums
}

/** All trees of the ensembles, in order, as one ensemble. */
export function joinTrees(ensembles: Trees[]): Trees {
  const nodes = ensembles.reduce((sum, { feature }) => sum + feature.length, 0)
  const roots = new Int32Array(ensembles.reduce((sum, trees) => sum + trees.roots.length, 0))
  const joined: Trees = {
    roots,
    feature: new Int32Array(nodes),
    threshold: new Float32Array(nodes),
    cut: new Uint8Array(nodes),
    missingLeft: new Uint8Array(nodes),
    left: new Int32Array(nodes),
    value: new Float32Array(nodes),
    gain: new Float64Array(nodes),
  }
  let [root, node] = [0, 0]
  for (const trees of ensembles) {
    const first = node
    const movedRoots = trees.roots.map((own) => own + first)
    const movedLeft = trees.left.map((child, own) => (trees.feature[own] < 0 ? 0 : child + first))
    roots.set(movedRoots, root)
    joined.left.set(movedLeft, first)
    for (const name of ['feature', 'threshold', 'cut', 'missingLeft', 'value', 'gain'] as const) {
      joined[name].set(trees[name], first)
    }
    root += trees.roots.length
    node += trees.feature.length
  }
  return joined
}

/**
 * Total gain by feature, scaled to sum to 1; all 0 when nothing was split. It is the importance that XGBoost calls
 * total_gain.
 */
export function gainImportance(trees: Trees, features: number): Float64Array {
  const importance = new Float64Array(features)
  trees.feature.forEach((by, node) => {
    if (by >= 0) importance[by] += trees.gain[node]
  })
  const total = importance.reduce((sum, gain) => sum + gain, 0)
  return total > 0 ? importance.map((gain) => gain / total) : importance
}
