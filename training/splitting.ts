import { BINS, type GradientPairs, PAIR } from './histogram.ts'

/** The best way to part a node: rows with `bin <= cut` of `feature` go left. */
export interface Split {
  feature: number
  cut: number
  gain: number
  /** Sum of the pairs that go left. */
  left: number
}

/** What holds a tree back. */
export interface GrowthRules {
  /** Edges from the root to the deepest leaf; 0 makes one leaf. */
  maxDepth: number
  /** Added to every hessian sum: pulls leaves towards 0. */
  l2: number
  /** Least hessian sum of a child. */
  minChildWeight: number
}

/**
 * The split of largest gain `G_l²/(H_l+λ) + G_r²/(H_r+λ) − G²/(H+λ)` (Friedman 2001 with the second-order form of Chen and
 * Guestrin 2016) among `features`, or undefined when none gains. Ties go to the feature named first, then to the lowest cut.
 *
 * Cuts between which the node has no row part it alike; the middle one of them is taken, as an exact trainer takes the
 * midpoint between neighbours: rows unseen there are more likely to fall on the right side.
 */
export function bestSplit(histogram: Float64Array, total: number, units: GradientPairs, features: Int32Array, rules: GrowthRules): Split | undefined {
  const { gradientUnit, hessianUnit } = units
  const { l2, minChildWeight } = rules
  const gradient = Math.floor(total / PAIR)
  const hessian = total - gradient * PAIR
  const whole = (gradient * gradientUnit) ** 2 / (hessian * hessianUnit + l2)
  const best: Split = { feature: -1, cut: 0, gain: 1e-9, left: 0 }
  for (const feature of features) {
    const base = feature * BINS
    let [left, last, fresh] = [0, 0, false]
    for (let bin = 0; bin < BINS; bin++) {
      const pair = histogram[base + bin]
      if (pair === 0) continue
      if (fresh) best.cut = (last + bin - 1) >> 1
      fresh = false
      left += pair
      last = bin
      const leftGradient = Math.floor(left / PAIR)
      const leftHessian = left - leftGradient * PAIR
      const [weightLeft, weightRight] = [leftHessian * hessianUnit, (hessian - leftHessian) * hessianUnit]
      if (weightRight < minChildWeight || weightRight <= 0) break
      if (weightLeft < minChildWeight || weightLeft <= 0) continue
      const gain = (leftGradient * gradientUnit) ** 2 / (weightLeft + l2) + ((gradient - leftGradient) * gradientUnit) ** 2 / (weightRight + l2) - whole
      if (gain <= best.gain) continue
      best.feature = feature
      best.gain = gain
      best.left = left
      best.cut = bin
      fresh = true
    }
  }
  return best.feature < 0 ? undefined : best
}
