import { MISSING } from './binning.ts'
import { LAST_CUT } from './splitting.ts'

/** The weight of some rows and of the frauds among them. A row drawn twice weighs 2. */
export interface GiniNode {
  weight: number
  frauds: number
}

/** A way to split a node, as `Split` is in boosting, with the weights that go left. */
export interface GiniSplit {
  feature: number
  cut: number
  missingLeft: boolean
  gain: number
  left: GiniNode
}

/**
 * Puts the best cut of `feature` into `best` when it gains more. The gain is the fall of weight × Gini impurity, up
 * to a factor of 2. Neither side may weigh less than `least`. `counts` holds weight and fraud weight of each bin.
 *
 * Missing values are tried on both sides. Where the node has none, later ones go with the heavier child. Of cuts that
 * split the node's rows alike the middle one is taken, as in `SplitSearch.best`.
 */
export function scanGini(counts: Int32Array, node: GiniNode, feature: number, least: number, best: GiniSplit): void {
  const improved = scan(counts, node, feature, false, least, best)
  if (counts[2 * MISSING] > 0) scan(counts, node, feature, true, least, best)
  else if (improved) best.missingLeft = 2 * best.left.weight > node.weight
}

/** Tries all cuts with missing values on one side. Returns whether one gained more than `best`. */
function scan(
  counts: Int32Array,
  node: GiniNode,
  feature: number,
  missingLeft: boolean,
  least: number,
  best: GiniSplit,
): boolean {
  const before = sumOfSquares(node.weight, node.frauds)
  let weight = missingLeft ? counts[2 * MISSING] : 0
  let frauds = missingLeft ? counts[2 * MISSING + 1] : 0
  let last = 0
  let fresh = false
  let improved = false
  for (let bin = 0; bin < MISSING; bin++) {
    if (counts[2 * bin] === 0) continue
    if (fresh) best.cut = (last + bin - 1) >> 1
    fresh = false
    weight += counts[2 * bin]
    frauds += counts[2 * bin + 1]
    last = bin
    if (node.weight - weight < least || node.weight === weight) break
    if (weight < least) continue
    const gain = sumOfSquares(weight, frauds) + sumOfSquares(node.weight - weight, node.frauds - frauds) - before
    if (gain <= best.gain) continue
    best.feature = feature
    best.cut = bin
    best.missingLeft = missingLeft
    best.gain = gain
    best.left.weight = weight
    best.left.frauds = frauds
    fresh = true
    improved = true
  }
  // Above the last bin in use only missing values are left to separate.
  if (fresh) best.cut = LAST_CUT
  return improved
}

/** (frauds² + genuine²) / weight. */
function sumOfSquares(weight: number, frauds: number): number {
  return (frauds * frauds + (weight - frauds) * (weight - frauds)) / weight
}
