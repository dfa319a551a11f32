import type { Arena } from '../kernel/arena.ts'
import { CONVOY, MISSING_KEY, WALK_NODE_WORDS } from '../kernel/score.ts'
import type { AddLeaves } from './bit-trees.ts'
import type { Trees } from './tree.ts'

/**
 * Lays out trees of any size for `addByWalk`: rows go from node to node. `keys` holds the key of each node's threshold;
 * `features` is the width of a row.
 */
export function layWalkTrees(arena: Arena, trees: Trees, keys: Int32Array, features: number): AddLeaves {
  const { feature, left, missingLeft, value } = trees
  const nodes = arena.ints(WALK_NODE_WORDS * feature.length)
  const values = new Float32Array(nodes.buffer, nodes.byteOffset, nodes.length)
  const addressOf = (node: number): number => nodes.byteOffset + 4 * WALK_NODE_WORDS * node
  for (let node = 0, at = 0; node < feature.length; node++, at += WALK_NODE_WORDS) {
    const leaf = feature[node] < 0
    const turn = leaf ? 0 : missingLeft[node]
    nodes[at] = leaf ? 0 : 4 * feature[node] + turn
    nodes[at + 1] = leaf ? MISSING_KEY : keys[node] + turn
    nodes[at + 2] = addressOf(leaf ? node : left[node])
    values[at + 3] = value[node]
  }
  const roots = arena.ints(trees.roots.length)
  roots.set(trees.roots.map(addressOf))
  return (kernel, rows, sums) => kernel.addByWalk(sums, rows, 4 * features, roots.byteOffset, roots.length, 0, CONVOY)
}
