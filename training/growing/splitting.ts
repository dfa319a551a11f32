import type { Arena } from '../kernel/arena.ts'
import type { Crew } from '../kernel/crew.ts'
import { FOUND_BYTES, NODE_FLOATS, SEARCH } from '../kernel/kernel.ts'
import { type Bounds, fallOf, type Penalties, stepOf } from '../kernel/newton.ts'
import { MISSING } from './binning.ts'
import type { Units } from './gradient.ts'
import { BINS } from './histogram.ts'

/** Sums of the pairs of some rows, in whole numbers. */
export interface Sums {
  gradient: number
  hessian: number
}

/** A way to split a node: rows with `bin <= cut` of `feature` go left, missing ones where `missingLeft` says. */
export interface Split {
  feature: number
  /** `LAST_CUT`: all numbers go left and the missing right. */
  cut: number
  missingLeft: boolean
  gain: number
  /** Sums of the rows that go left. */
  left: Sums
}

/** The cut above all bins of numbers. */
export const LAST_CUT = MISSING - 1
/** A split has to gain more than this. */
const LEAST_GAIN = 1e-9
/** Features whose search is worth handing over to another thread. */
const LEAST_FEATURES = 4

/** The rules that limit a tree's growth. */
export interface GrowthRules extends Penalties {
  /** Edges from the root to the deepest leaf; 0 makes one leaf. */
  maxDepth: number
  /** Most leaves; the node of largest gain is split next. 0: no limit, and no order among nodes. */
  maxLeaves: number
  /** Least hessian sum of a child. */
  minChildWeight: number
  /**
   * By feature: 1 when the score must not fall as the feature rises, −1 when it must not rise, 0 free. Default: all
   * free.
   */
  monotone?: Int8Array
}

/** A node to be split: its sums, in all and by bin. */
export interface SplitNode extends Sums, Bounds {
  histogram: Int32Array
}

/** Searches for splits on one tree's features. */
export interface SplitSearch {
  /** Starts a tree that splits on `features` only, its gradients counted in `units`. */
  begin(units: Units, features: Int32Array): void
  /**
   * The split of largest gain (Friedman 2001 with the second-order form of Chen and Guestrin 2016) of `node` and, where
   * there is one, of its sibling. Undefined where no split gains.
   *
   * Changes histograms, but only at the tree's features: that of `node` gets those of `others` added first; that of
   * `sibling` is given as the sum of both nodes and is turned into the sibling's own.
   *
   * - Ties go to the feature named first, then to missing on the right, then to the lowest cut.
   * - Where a node has missing values, both sides are tried for them. Where it has none, later ones go with the heavier
   *   child.
   * - Cuts between which the node has no row split it alike. The middle one of them is taken, as an exact trainer takes
   *   the midpoint between neighbours: unseen rows in the gap are then more likely to fall on the right side.
   */
  best(node: SplitNode, others: Int32Array[], sibling?: SplitNode): [Split | undefined, Split | undefined]
}

/** A search among the splits of `features` features. Its task and what it finds lie in the arena. */
export function createSplitSearch(arena: Arena, crew: Crew, features: number, rules: GrowthRules): SplitSearch {
  const [list, parts, monotone] = [arena.ints(features), arena.ints(crew.threads), arena.bytes(features)]
  if (rules.monotone !== undefined) monotone.set(rules.monotone)
  const words = arena.ints(2 * SEARCH.floats)
  const doubles = new Float64Array(words.buffer, words.byteOffset, SEARCH.floats)
  const found = arena.ints((2 * features * FOUND_BYTES) / 4)
  words.set([list.byteOffset, rules.monotone === undefined ? 0 : monotone.byteOffset, parts.byteOffset])
  words[SEARCH.found] = found.byteOffset
  let [drawn, units]: [number, Units] = [0, { gradient: 1, hessian: 1 }]
  const describe = (node: SplitNode, at: number): void => {
    const [gradient, hessian] = [node.gradient * units.gradient, node.hessian * units.hessian]
    const whole = fallOf(gradient, hessian, stepOf(gradient, hessian, rules, node), rules)
    doubles.set([node.hessian, node.gradient, node.lower, node.upper, whole], SEARCH.nodes + at * NODE_FLOATS)
  }
  return {
    begin(of, drawnFeatures) {
      units = of
      drawn = drawnFeatures.length
      list.set(drawnFeatures)
      doubles.set([of.hessian, of.gradient, rules.l1, rules.l2, rules.minChildWeight, LEAST_GAIN], SEARCH.units)
    },
    best(node, others, sibling) {
      parts.set(others.map(({ byteOffset }) => byteOffset))
      words.set([others.length, node.histogram.byteOffset, sibling?.histogram.byteOffset ?? 0], SEARCH.extra)
      ;[node, sibling].forEach((one, at) => one && describe(one, at))
      crew.run('search', () => [words.byteOffset], 0, drawn, { least: LEAST_FEATURES })
      const features = list.subarray(0, drawn)
      return [bestFound(found, features, 0, node), sibling && bestFound(found, features, 1, sibling)]
    },
  }
}

/** The best of what was found for node 0 or 1 of a search. */
function bestFound(found: Int32Array, features: Int32Array, node: 0 | 1, sums: SplitNode): Split | undefined {
  const { histogram, hessian } = sums
  const gains = new Float64Array(found.buffer, found.byteOffset, found.length / 2)
  const gainAt = (i: number): number => gains[((2 * i + node) * FOUND_BYTES) / 8]
  let best = -1
  for (let i = 0; i < features.length; i++) if (gainAt(i) > (best < 0 ? LEAST_GAIN : gainAt(best))) best = i
  if (best < 0) return undefined
  const feature = features[best]
  const missing = 2 * (feature * BINS + MISSING)
  const some = histogram[missing] !== 0 || histogram[missing + 1] !== 0
  const [cut, missingLeft, leftHessian, leftGradient] = found.subarray(((2 * best + node) * FOUND_BYTES) / 4 + 2)
  return {
    feature,
    cut,
    missingLeft: some ? missingLeft === 1 : 2 * leftHessian > hessian,
    gain: gainAt(best),
    left: { gradient: leftGradient, hessian: leftHessian },
  }
}
