import type { Trees } from './tree.ts'

/** A tree deeper than this is not made complete: each level doubles it. */
const DEEPEST = 8
/** Ranks are 16 bits. Missing lies above every threshold, and goes right; what fills a tree up lies above that, and all go left. */
const MISSING = 0xfffe
const FILL = 0xffff
/** What the upper half of a node has room for. */
const MOST_FEATURES = 0x7fff
/** Rows whose ranks stay in the cache while all trees pass over them; a multiple of 4. */
const BLOCK = 2048

/**
 * Shallow trees made complete: every leaf at one depth, so that a row takes the same steps whatever it holds, without a
 * branch to be mispredicted. Numbers are ranks: a value's is how many thresholds of its feature lie below it.
 */
export interface CompleteTrees {
  features: number
  depth: number
  trees: number
  /** By feature, the thresholds of all trees, rising, each once. */
  thresholds: Float32Array[]
  /** By feature, where the search for a value's rank starts. */
  starts: Uint16Array[]
  /** Tree by tree, level by level: feature × 2^16 + rank of the threshold. The children of `n` are `2 n + 1` and `2 n + 2`. */
  nodes: Int32Array
  /** Tree by tree, from left to right. */
  leaves: Float32Array
}

/** The same trees, complete; undefined when they are deeper than 8 or have too many features or thresholds. Missing values go right. */
export function completeTrees(trees: Trees, features: number, depth: number): CompleteTrees | undefined {
  const thresholds = Array.from({ length: features }, (_, feature) => distinctThresholds(trees, feature))
  if (depth > DEEPEST || features > MOST_FEATURES || thresholds.some(({ length }) => length >= MISSING)) return undefined
  const ranks = thresholds.map((own) => new Map(Array.from(own, (threshold, rank) => [threshold, rank])))
  const inner = 2 ** depth - 1
  const complete: CompleteTrees = {
    features, depth, thresholds,
    starts: thresholds.map(startTable),
    trees: trees.roots.length,
    nodes: new Int32Array(trees.roots.length * inner),
    leaves: new Float32Array(trees.roots.length << depth),
  }
  trees.roots.forEach((root, tree) => {
    // At each place of the complete tree, the node that a row stands at there.
    const stand = Int32Array.of(root, ...new Int32Array(2 * inner))
    for (let place = 0; place < inner; place++) {
      const node = stand[place]
      const feature = trees.feature[node]
      const rank = feature < 0 ? FILL : (ranks[feature].get(trees.threshold[node] + 0) ?? FILL)
      complete.nodes[tree * inner + place] = Math.max(0, feature) * 2 ** 16 + rank
      stand[2 * place + 1] = feature < 0 ? node : trees.left[node]
      stand[2 * place + 2] = feature < 0 ? node : trees.left[node] + 1
    }
    for (let leaf = 0; leaf <= inner; leaf++) complete.leaves[(tree << depth) + leaf] = trees.value[stand[inner + leaf]]
  })
  return complete
}

function distinctThresholds({ feature, threshold }: Trees, of: number): Float32Array {
  const own = new Set<number>()
  // Never −0, whose bits sort before 0.
  feature.forEach((by, node) => by === of && own.add(threshold[node] + 0))
  return Float32Array.from(own).sort()
}

/** Sum of the trees' leaves for each row of the row-major matrix `x`: `treeScores` to the last bit, in less than half the time. */
export function completeScores(complete: CompleteTrees, x: Float32Array): Float32Array {
  const { features } = complete
  const scores = new Float32Array(x.length / features)
  const ranks = new Uint16Array(BLOCK * features)
  const sums = new Float32Array(BLOCK)
  for (let row = 0; row < scores.length; row += BLOCK) {
    const block = Math.min(BLOCK, scores.length - row)
    rankRows(complete, x.subarray(row * features, (row + block) * features), ranks)
    addTrees(complete, ranks, sums.fill(0), block)
    scores.set(sums.subarray(0, block), row)
  }
  return scores
}

/**
 * Adds every tree's leaf to the sums of `rows` rows, tree after tree. Four rows go down a tree side by side, since a step waits
 * for the one before it; up to three rows beyond the last are passed through, too.
 */
function addTrees({ depth, features, trees, nodes, leaves }: CompleteTrees, ranks: Uint16Array, sums: Float32Array, rows: number): void {
  const inner = 2 ** depth - 1
  for (let tree = 0; tree < trees; tree++) {
    const own = nodes.subarray(tree * inner, (tree + 1) * inner)
    const ends = leaves.subarray(tree << depth, (tree + 1) << depth)
    for (let row = 0, first = 0; row < rows; row += 4, first += 4 * features) {
      const [second, third, fourth] = [first + features, first + 2 * features, first + 3 * features]
      let [a, b, c, d] = [0, 0, 0, 0]
      for (let level = 0; level < depth; level++) {
        // One by one: destructured, they would pass through an array at every step.
        const nodeA = own[a]
        const nodeB = own[b]
        const nodeC = own[c]
        const nodeD = own[d]
        // The sign of the difference of two 16-bit ranks says which way: right, 1, when the value's is the greater.
        a = 2 * a + 1 + (((nodeA & 0xffff) - ranks[first + (nodeA >> 16)]) >>> 31)
        b = 2 * b + 1 + (((nodeB & 0xffff) - ranks[second + (nodeB >> 16)]) >>> 31)
        c = 2 * c + 1 + (((nodeC & 0xffff) - ranks[third + (nodeC >> 16)]) >>> 31)
        d = 2 * d + 1 + (((nodeD & 0xffff) - ranks[fourth + (nodeD >> 16)]) >>> 31)
      }
      sums[row] += ends[a - inner]
      sums[row + 1] += ends[b - inner]
      sums[row + 2] += ends[c - inner]
      sums[row + 3] += ends[d - inner]
    }
  }
}

/** How many thresholds lie below each value: from where the upper half of its bits says, a short scan. */
function rankRows({ features, starts, thresholds }: CompleteTrees, x: Float32Array, ranks: Uint16Array): void {
  const bits = new Uint32Array(x.buffer, x.byteOffset, x.length)
  for (let feature = 0; feature < features; feature++) {
    const [own, start] = [thresholds[feature], starts[feature]]
    const last = own.length
    for (let at = feature; at < x.length; at += features) {
      const value = x[at]
      let rank = start[bits[at] >>> 16]
      while (rank < last && value > own[rank]) rank++
      ranks[at] = value === value ? rank : MISSING
    }
  }
}

/** By the upper 16 bits of a float32: how many thresholds have an upper half that sorts lower, and so lie below the value. */
function startTable(thresholds: Float32Array): Uint16Array {
  const bits = new Uint32Array(thresholds.buffer, thresholds.byteOffset, thresholds.length)
  const start = new Uint16Array(1 << 16)
  for (let order = 0, below = 0; order < 1 << 16; order++) {
    while (below < bits.length && orderOf(bits[below] >>> 16) < order) below++
    start[order < 1 << 15 ? 0xffff - order : order - (1 << 15)] = below
  }
  return start
}

/** Floats sort like their bits when the sign is set right: negative ones run backwards, below the positive. */
function orderOf(upper: number): number {
  return upper >= 1 << 15 ? 0xffff - upper : upper + (1 << 15)
}
