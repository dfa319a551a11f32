import { MISSING } from './binning.ts'
import type { Units } from './gradient.ts'
import { BINS } from './histogram.ts'

/** Sums of the pairs of some rows, in whole numbers. */
export interface Sums {
  gradient: number
  hessian: number
}

/** The best way to part a node: rows with `bin <= cut` of `feature` go left, missing ones where `missingLeft` says. */
export interface Split {
  feature: number
  /** `LAST_CUT`: all numbers go left and the missing right. */
  cut: number
  missingLeft: boolean
  gain: number
  /** Sums of what goes left. */
  left: Sums
}

/** The cut above all bins of numbers. */
export const LAST_CUT = MISSING - 1

/** What holds a tree back. */
export interface GrowthRules {
  /** Edges from the root to the deepest leaf; 0 makes one leaf. */
  maxDepth: number
  /** Most leaves, the node of largest gain being split next; 0 no limit, and no order among nodes. */
  maxLeaves: number
  /** Taken from every gradient sum, towards 0. */
  l1: number
  /** Added to every hessian sum: pulls leaves towards 0. */
  l2: number
  /** Least hessian sum of a child. */
  minChildWeight: number
  /** By feature: 1 the score must not fall as it rises, −1 must not rise, 0 free. All are free when undefined. */
  monotone?: Int8Array
}

/** Between which values a node's step may lie, so that monotone splits above it stay true. */
export interface Bounds {
  lower: number
  upper: number
}

/** A node to be split: its sums by bin and in all. */
export interface SplitNode extends Sums, Bounds {
  histogram: Int32Array
}

/** The Newton step of rows with gradient sum `gradient` and hessian sum `hessian`: −G / (H + l2), with L1 as Chen and Guestrin's successors have it. */
export function stepOf(gradient: number, hessian: number, { l1, l2 }: GrowthRules, { lower, upper }: Bounds): number {
  const shrunk = gradient > l1 ? gradient - l1 : gradient < -l1 ? gradient + l1 : 0
  // Without l2 rows that are all saturated have neither gradient nor hessian: their step is 0, not 0/0.
  const step = -shrunk / Math.max(hessian + l2, 1e-12)
  return step < lower ? lower : step > upper ? upper : step
}

/** What a step takes off twice the loss; `T(G)² / (H + l2)` at the best step, T taking l1 away. */
function fallOf(gradient: number, hessian: number, step: number, { l1, l2 }: GrowthRules): number {
  return -step * (2 * gradient + (hessian + l2) * step) - 2 * l1 * Math.abs(step)
}

/** A search among the splits of one node, and the best so far. */
interface Search {
  node: SplitNode
  units: Units
  rules: GrowthRules
  whole: number
  best: Split
}

/**
 * The split of largest gain (Friedman 2001 with the second-order form of Chen and Guestrin 2016) among `features`, or
 * undefined when none gains. Ties go to the feature named first, then to missing on the right, then to the lowest cut.
 *
 * Where the node has missing values both sides are tried for them; where it has none, later ones go with the heavier child.
 * Cuts between which the node has no row part it alike; the middle one of them is taken, as an exact trainer takes the
 * midpoint between neighbours: rows unseen there are more likely to fall on the right side.
 */
export function bestSplit(node: SplitNode, units: Units, features: Int32Array, rules: GrowthRules): Split | undefined {
  const [gradient, hessian] = [node.gradient * units.gradient, node.hessian * units.hessian]
  const whole = fallOf(gradient, hessian, stepOf(gradient, hessian, rules, node), rules)
  const best: Split = { feature: -1, cut: 0, missingLeft: false, gain: 1e-9, left: { gradient: 0, hessian: 0 } }
  const search: Search = { node, units, rules, whole, best }
  for (const feature of features) {
    const missing = 2 * (feature * BINS + MISSING)
    const some = node.histogram[missing] !== 0 || node.histogram[missing + 1] !== 0
    scan(search, feature, false)
    if (some) scan(search, feature, true)
    else if (best.feature === feature) best.missingLeft = 2 * best.left.hessian > node.hessian
  }
  return best.feature < 0 ? undefined : best
}

/** Puts the best cut of `feature` into the search's best when it gains more. */
function scan({ node, units, rules, whole, best }: Search, feature: number, missingLeft: boolean): void {
  // Everything the loop reads is a local: fields of objects would be loaded again for every bin.
  const { histogram, gradient: wholeGradient, hessian: wholeHessian } = node
  const { gradient: gradientUnit, hessian: hessianUnit } = units
  const { l2, minChildWeight } = rules
  let most = best.gain
  const base = 2 * feature * BINS
  const direction = rules.monotone === undefined ? 0 : rules.monotone[feature]
  const free = rules.l1 === 0 && direction === 0 && node.lower === -Infinity && node.upper === Infinity
  let hessian = missingLeft ? histogram[base + 2 * MISSING] : 0
  let gradient = missingLeft ? histogram[base + 2 * MISSING + 1] : 0
  let [last, fresh] = [0, false]
  for (let bin = 0, at = base; bin < MISSING; bin++, at += 2) {
    const own = histogram[at]
    const ownGradient = histogram[at + 1]
    if ((own | ownGradient) === 0) continue
    if (fresh) best.cut = (last + bin - 1) >> 1
    fresh = false
    hessian += own
    gradient += ownGradient
    last = bin
    const leftHessian = hessian * hessianUnit
    const rightHessian = (wholeHessian - hessian) * hessianUnit
    if (rightHessian < minChildWeight || rightHessian <= 0) break
    if (leftHessian < minChildWeight || leftHessian <= 0) continue
    const left = gradient * gradientUnit
    const right = (wholeGradient - gradient) * gradientUnit
    const fall = free ? (left * left) / (leftHessian + l2) + (right * right) / (rightHessian + l2) : heldBack(left, leftHessian, right, rightHessian, rules, node, direction)
    if (fall - whole <= most) continue
    most = fall - whole
    best.feature = feature
    best.cut = bin
    best.missingLeft = missingLeft
    best.gain = most
    best.left = { gradient, hessian }
    fresh = true
  }
  // Above the last bin in use only the missing are left to part from.
  if (fresh) best.cut = LAST_CUT
}

/** What both children's steps take off twice the loss, when steps are bounded; nothing when they go against the direction. */
function heldBack(left: number, leftHessian: number, right: number, rightHessian: number, rules: GrowthRules, bounds: Bounds, direction: number): number {
  const leftStep = stepOf(left, leftHessian, rules, bounds)
  const rightStep = stepOf(right, rightHessian, rules, bounds)
  if (direction * (rightStep - leftStep) < 0) return -Infinity
  return fallOf(left, leftHessian, leftStep, rules) + fallOf(right, rightHessian, rightStep, rules)
}
